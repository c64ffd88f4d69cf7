package datapath

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"drover/internal/lvs"
)

// denied asks the program about a packet.
func (r *rig) denied(t fatal, p lvs.MarkedPacket, ifindex int) bool {
	t.Helper()
	answer, err := r.objects.DenyOne.Run(&ebpf.RunOptions{Context: directorMarked{
		Source: mapped(p.From.Addr()), Destination: mapped(p.To.Addr()), Dport: bigEndian(p.To.Port()),
		Protocol: uint8(p.Protocol), Family: uint8(lvs.FamilyOf(p.To.Addr())), Ifindex: uint32(ifindex),
	}})
	if err != nil {
		t.Fatalf("ask about %v: %v", p, err)
	}
	return answer != 0
}

func drawAccessRule(t *rapid.T) lvs.AccessRule {
	family := rapid.SampledFrom([]lvs.Family{lvs.IPv4, lvs.IPv6}).Draw(t, "family")
	a := drawAddr(t, family)
	r := lvs.AccessRule{
		Deny:   rapid.Bool().Draw(t, "deny"),
		Source: netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked(),
	}
	if rapid.Bool().Draw(t, "VIP") {
		r.VIP = drawAddr(t, family)
		r.Protocol = rapid.SampledFrom([]lvs.Protocol{0, lvs.TCP, lvs.UDP}).Draw(t, "protocol")
		if r.Protocol != 0 {
			r.Port = rapid.SampledFrom([]uint16{80, 443}).Draw(t, "port")
		}
	}
	r.Interface = rapid.SampledFrom([]string{"", "", frontName}).Draw(t, "in")
	r.Reason = rapid.SampledFrom([]string{"", "scanner", "office"}).Draw(t, "reason")
	return r
}

// TestAccessAsModelled: random rules, deep in each other, and random packets.
func TestAccessAsModelled(t *testing.T) {
	r := newRig(t, 64)
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(rapid.Custom(drawAccessRule), 0, 60).Draw(t, "rules")
		slices.SortFunc(rules, lvs.CompareAccess)
		rules = slices.CompactFunc(rules, lvs.AccessRule.Same)
		if err := r.table.SetAccessRules(rules); err != nil {
			t.Fatal(err)
		}
		got, err := r.table.AccessRules()
		if err != nil {
			t.Fatal(err)
		}
		same := cmp.Comparer(func(a, b lvs.AccessRule) bool { a.Hits, b.Hits = 0, 0; return a == b })
		if diff := cmp.Diff(rules, got, same); len(rules) > 0 && diff != "" {
			t.Fatalf("the rules as read (-want +got):\n%s", diff)
		}
		for range 30 {
			family := rapid.SampledFrom([]lvs.Family{lvs.IPv4, lvs.IPv6}).Draw(t, "family")
			p := lvs.MarkedPacket{
				Protocol: rapid.SampledFrom([]lvs.Protocol{lvs.TCP, lvs.UDP}).Draw(t, "protocol"),
				From:     netip.AddrPortFrom(drawAddr(t, family), 1024),
				To:       netip.AddrPortFrom(drawAddr(t, family), rapid.SampledFrom([]uint16{80, 443, 8080}).Draw(t, "port")),
			}
			index := r.back
			if rapid.Bool().Draw(t, "front") {
				p.Interface, index = frontName, r.front
			}
			if got, want := r.denied(t, p, index), lvs.Denied(rules, p, time.Now()); got != want {
				t.Fatalf("%v is denied: %t, want %t, by %+v", p, got, want, rules)
			}
		}
	})
}

// manyAccessRules are so many prefixes of all lengths, half of each family.
func manyAccessRules(n int) []lvs.AccessRule {
	random := rand.New(rand.NewPCG(1, 2))
	var rules []lvs.AccessRule
	for len(rules) < n {
		var a netip.Addr
		var bits int
		if random.IntN(2) == 0 {
			a, bits = netip.AddrFrom4([4]byte{byte(1 + random.IntN(222)), byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())}), 12+random.IntN(21)
		} else {
			b := netip.MustParseAddr("2001:db8::").As16()
			for i := 4; i < 8; i++ {
				b[i] = byte(random.Uint32())
			}
			a, bits = netip.AddrFrom16(b), 36+random.IntN(29)
		}
		rules = append(rules, lvs.AccessRule{Deny: random.IntN(2) == 0, Source: netip.PrefixFrom(a, bits).Masked()})
	}
	slices.SortFunc(rules, lvs.CompareAccess)
	return slices.CompactFunc(rules, lvs.AccessRule.Same)
}

// TestAccessOfManyPrefixes: 100,000 prefixes are told apart as few are.
func TestAccessOfManyPrefixes(t *testing.T) {
	r := newRig(t, 64)
	rules := manyAccessRules(100_000)
	must(t, r.table.SetAccessRules(rules))
	byPrefix := map[netip.Prefix]bool{}
	for _, rule := range rules {
		byPrefix[rule.Source] = rule.Deny
	}
	for i := range 20_000 {
		source := rules[(i*7919)%len(rules)].Source.Addr()
		if i%2 == 0 {
			source = source.Prev()
		}
		want := false
		for bits := source.BitLen(); bits >= 0; bits-- {
			if deny, ok := byPrefix[netip.PrefixFrom(source, bits).Masked()]; ok {
				want = deny
				break
			}
		}
		p := lvs.MarkedPacket{Protocol: lvs.TCP, From: netip.AddrPortFrom(source, 1), To: netip.AddrPortFrom(source, 80)}
		if got := r.denied(t, p, r.front); got != want {
			t.Fatalf("%v is denied: %t, want %t", source, got, want)
		}
	}
}

// TestAccess: a denied source's packets are dropped, those of its connections too, until the rule is gone or has
// run out.
func TestAccess(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		for forwarding, port := range forwardings {
			request := f.request(p, port)
			forwarded := f.toServer(request, forwarding).frame(t)
			deny := lvs.AccessRule{Deny: true, Source: netip.PrefixFrom(f.client, f.client.BitLen())}
			r.wants("before", r.front, request.frame(t), xdpRedirect, forwarded)
			for _, test := range []struct {
				name   string
				change func(*lvs.AccessRule)
				denied bool
			}{
				{"the source", func(*lvs.AccessRule) {}, true},
				{"its VIP and port", func(a *lvs.AccessRule) { a.VIP, a.Protocol, a.Port = f.vip, p, port }, true},
				{"another port", func(a *lvs.AccessRule) { a.VIP, a.Protocol, a.Port = f.vip, p, port+1 }, false},
				{"another VIP", func(a *lvs.AccessRule) { a.VIP = f.server }, false},
				{"another interface", func(a *lvs.AccessRule) { a.Interface = backName }, false},
				{"run out", func(a *lvs.AccessRule) { a.Expires = time.Now().Add(-time.Hour) }, false},
				{"yet to run out", func(a *lvs.AccessRule) { a.Expires = time.Now().Add(time.Hour) }, true},
				{"allowed", func(a *lvs.AccessRule) { a.Deny = false }, false},
			} {
				rule := deny
				test.change(&rule)
				must(t, r.table.SetAccessRules([]lvs.AccessRule{rule}))
				fresh := request
				fresh.from = netip.AddrPortFrom(f.client, clientPort+9)
				if !test.denied {
					r.wants(test.name+": a known connection", r.front, request.frame(t), xdpRedirect, forwarded)
					continue
				}
				r.counted(map[string]uint64{"drop access": 2}, func() {
					r.drops(test.name+": a known connection", r.front, request.frame(t))
					r.drops(test.name+": a new one", r.front, fresh.frame(t))
				})
				if rules, err := r.table.AccessRules(); err != nil || len(rules) != 1 || rules[0].Hits != 2 {
					t.Errorf("%s: rules %+v, %v: want one with two hits", test.name, rules, err)
				}
			}
			must(t, r.table.SetAccessRules(nil))
			r.wants("afterwards", r.front, request.frame(t), xdpRedirect, forwarded)
		}
	})
}

// TestAccessLimit: a source begins so many connections at once, and one more as time goes by; others are not
// touched.
func TestAccessLimit(t *testing.T) {
	r := newScene(t)
	must(t, r.table.SetAccessLimit(lvs.AccessLimit{Rate: 2, Burst: 3}))
	for _, f := range families {
		begun := 0
		begin := func(client netip.Addr) {
			begun++
			packet := f.request(lvs.TCP, routePort)
			packet.from = netip.AddrPortFrom(client, uint16(2000+begun))
			r.receive(r.front, packet.frame(t))
		}
		for _, step := range []struct {
			after   uint32 // ms
			begins  int
			dropped uint64
		}{{0, 5, 2}, {400, 1, 1}, {100, 2, 1}, {10_000, 4, 1}} {
			r.turn(step.after)
			want := map[string]uint64{"drop limit": step.dropped}
			if through := uint64(step.begins) - step.dropped; through > 0 {
				want["forward route"] = through
			}
			r.counted(want, func() {
				for range step.begins {
					begin(f.client)
				}
			})
		}
		other := f.client.As16()
		if other[15]++; f.client.Is6() {
			other[7]++ // another network
		}
		r.counted(map[string]uint64{"forward route": 1}, func() { begin(netip.AddrFrom16(other).Unmap()) })
	}
	for _, l := range []lvs.AccessLimit{{Rate: 1}, {Rate: maxLimit + 1, Burst: 1}, {Rate: 1, Burst: maxLimit + 1}} {
		if err := r.table.SetAccessLimit(l); err == nil {
			t.Errorf("%+v was taken", l)
		}
	}
}
