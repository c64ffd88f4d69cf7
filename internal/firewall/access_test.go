package firewall

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/lvs"
)

// firstMatch is what netfilter does: of each chain the first rule that matches counts, else the policy.
func firstMatch(chains []Chain, p lvs.MarkedPacket) (denied bool) {
	for _, c := range chains {
		end := c.policy().End
		for _, r := range c.Rules {
			if r.End != GoesOn && fits(r.Match, p) {
				end = r.End
				break
			}
		}
		if end == Denies {
			return true
		}
	}
	return false
}

func fits(m Match, p lvs.MarkedPacket) bool {
	return (len(m.Protocols) == 0 || slices.Contains(m.Protocols, p.Protocol)) &&
		(len(m.Interfaces) == 0 || slices.Contains(m.Interfaces, p.Interface)) &&
		(len(m.Sources) == 0 || slices.ContainsFunc(m.Sources, func(q netip.Prefix) bool { return q.Contains(p.From.Addr()) })) &&
		(len(m.Destinations) == 0 || slices.ContainsFunc(m.Destinations, func(q netip.Prefix) bool { return q.Contains(p.To.Addr()) })) &&
		(len(m.Ports) == 0 || slices.ContainsFunc(m.Ports, func(q lvs.PortRange) bool { return q.Contains(p.To.Port()) }))
}

// TestAccessOfRandomChains: access rules made of chains let in whom the chains let in.
func TestAccessOfRandomChains(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	services := []lvs.ServiceKey{
		{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.10:80"), Family: lvs.IPv4},
		{Protocol: lvs.UDP, Addr: netip.MustParseAddrPort("192.0.2.10:53"), Family: lvs.IPv4},
		{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.11:443"), Family: lvs.IPv4},
	}
	denied := 0
	for range 300 {
		chains := randomChains(random)
		rules, left := Access(chains, services)
		if len(left) > 0 {
			t.Fatalf("left out: %v", left)
		}
		for range 100 {
			s := services[random.IntN(len(services))]
			p := lvs.MarkedPacket{
				Protocol: s.Protocol, To: s.Addr, Interface: []string{"eth0", "eth1", "eth2"}[random.IntN(3)],
				From: netip.AddrPortFrom(randomSource(random).Addr(), 1024),
			}
			want, got := firstMatch(chains, p), lvs.Denied(rules, p, time.Time{})
			if want {
				denied++
			}
			if got != want {
				t.Fatalf("%+v: denied %t, netfilter %t (seed %d)\n%+v\n%+v", p, got, want, seed, chains, rules)
			}
		}
	}
	if denied < 3000 || denied > 27_000 {
		t.Errorf("%d of 30000 packets were denied: little was tested", denied)
	}
}

// randomSource is a prefix of a few that lie in each other, and its first address.
func randomSource(random *rand.Rand) netip.Prefix {
	a := netip.AddrFrom4([4]byte{203, 0, 113, byte(random.IntN(4)) << 6})
	return netip.PrefixFrom(a, 24+random.IntN(9)).Masked()
}

func randomChains(random *rand.Rand) (chains []Chain) {
	for i := range 1 + random.IntN(2) {
		c := Chain{Where: "test", Hook: Hook(i), Drops: random.IntN(3) == 0}
		for n := range random.IntN(8) {
			r := Rule{Number: n + 1, End: []End{Accepts, Denies, GoesOn}[random.IntN(3)]}
			if random.IntN(4) > 0 {
				r.Match.Sources = []netip.Prefix{randomSource(random), randomSource(random)}
			}
			if random.IntN(3) == 0 {
				r.Match.Destinations = []netip.Prefix{netip.MustParsePrefix([]string{"192.0.2.10/32", "192.0.2.0/24"}[random.IntN(2)])}
			}
			if random.IntN(3) == 0 {
				r.Match.Ports = []lvs.PortRange{{First: 53, Last: 80}}
			}
			if random.IntN(3) == 0 {
				r.Match.Protocols = []lvs.Protocol{lvs.TCP}
			}
			if random.IntN(3) == 0 {
				r.Match.Interfaces = []string{[]string{"eth0", "eth1"}[random.IntN(2)]}
			}
			c.Rules = append(c.Rules, r)
		}
		chains = append(chains, c)
	}
	return chains
}

// TestAccessOfFamilies: a field of IPv4's header says nothing about IPv6.
func TestAccessOfFamilies(t *testing.T) {
	chains, err := ParseNFT([]byte(`{"nftables": [
		{"chain": {"family": "inet", "table": "site", "name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}},
		{"rule": {"family": "inet", "table": "site", "chain": "in", "expr": [
			{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": "tcp"}}, {"drop": null}]}}]}`), false)
	must(t, err)
	for vip, want := range map[string]bool{"192.0.2.10:80": true, "[2001:db8::10]:80": false} {
		to := netip.MustParseAddrPort(vip)
		s := lvs.ServiceKey{Protocol: lvs.TCP, Addr: to, Family: lvs.FamilyOf(to.Addr())}
		rules, left := Access(chains, []lvs.ServiceKey{s})
		p := lvs.MarkedPacket{Protocol: lvs.TCP, From: to, To: to, Interface: "eth0"}
		if got := lvs.Denied(rules, p, time.Time{}); got != want || left != nil {
			t.Errorf("%s: denied %t, want %t; left out %v", vip, got, want, left)
		}
	}
}

// TestAccessOfASite: a firewall as sites write it, and what is said of the rest of it.
func TestAccessOfASite(t *testing.T) {
	chains, err := ParseIPTables("iptables", lvs.IPv4, `*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -s 203.0.113.66/32 -p tcp -m multiport --dports 80,443 -j REJECT --reject-with icmp-port-unreachable
-A INPUT -d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j ACCEPT
-A INPUT -s 198.51.100.0/24 -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 443 -m limit --limit 5/sec -j ACCEPT
-A INPUT -p tcp -m tcp --dport 443 -j site
COMMIT
`)
	must(t, err)
	service := func(addr string) lvs.ServiceKey {
		return lvs.ServiceKey{Protocol: lvs.TCP, Addr: netip.MustParseAddrPort(addr), Family: lvs.IPv4}
	}
	rules, left := Access(chains, []lvs.ServiceKey{service("192.0.2.10:80"), service("192.0.2.10:443")})
	for from, want := range map[string]bool{"203.0.113.66": true, "203.0.113.67": false} {
		p := lvs.MarkedPacket{Protocol: lvs.TCP, From: netip.MustParseAddrPort(from + ":1024"), To: netip.MustParseAddrPort("192.0.2.10:80"), Interface: "eth0"}
		if got := lvs.Denied(rules, p, time.Time{}); got != want {
			t.Errorf("%s: denied %t, want %t", from, got, want)
		}
	}
	var reasons []string
	for _, l := range left {
		reasons = append(reasons, l.Reason)
	}
	if len(left) != 3 || !strings.Contains(reasons[0], "conntrack") || !strings.Contains(reasons[1], "limit") || !strings.Contains(reasons[2], "another chain") {
		t.Errorf("left out: %q", reasons)
	}
	bypassed := Bypassed(chains)
	if len(bypassed) != 2 || bypassed[0].Rule.Number != 3 || bypassed[1].Rule.Text != "policy drop" {
		t.Errorf("bypassed: %+v", bypassed)
	}
}
