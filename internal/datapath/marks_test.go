package datapath

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"drover/internal/lvs"
)

// mark has the program mark a packet.
func (r *rig) mark(t fatal, p lvs.MarkedPacket, ifindex int) uint32 {
	t.Helper()
	m := directorMarked{
		Source: mapped(p.From.Addr()), Destination: mapped(p.To.Addr()), Sport: bigEndian(p.From.Port()),
		Dport: bigEndian(p.To.Port()), Protocol: uint8(p.Protocol), Family: uint8(lvs.FamilyOf(p.To.Addr())),
		Ifindex: uint32(ifindex),
	}
	mark, err := r.objects.MarkOne.Run(&ebpf.RunOptions{Context: m})
	if err != nil {
		t.Fatalf("mark %v: %v", p, err)
	}
	return mark
}

// drawAddr draws one of few addresses, so that prefixes match.
func drawAddr(t *rapid.T, family lvs.Family) netip.Addr {
	b := rapid.SampledFrom([]byte{0, 1, 2, 127, 128, 255}).Draw(t, "byte")
	c := rapid.SampledFrom([]byte{0, 1, 2}).Draw(t, "byte")
	if family == lvs.IPv4 {
		return netip.AddrFrom4([4]byte{203, 0, 113 + c, b})
	}
	a := netip.MustParseAddr("2001:db8::").As16()
	a[5], a[8], a[15] = c, c, b
	return netip.AddrFrom16(a)
}

func drawPrefix(t *rapid.T, family lvs.Family) netip.Prefix {
	if rapid.Bool().Draw(t, "any") {
		return netip.Prefix{}
	}
	a := drawAddr(t, family)
	return netip.PrefixFrom(a, rapid.IntRange(1, a.BitLen()).Draw(t, "bits")).Masked()
}

var drawnPorts = []lvs.PortRange{{}, {}, {First: 80, Last: 80}, {First: 20, Last: 21}, {First: 1, Last: 65535}, {First: 81, Last: 60000}}

func drawMarkRule(t *rapid.T) lvs.MarkRule {
	family := rapid.SampledFrom([]lvs.Family{lvs.IPv4, lvs.IPv6}).Draw(t, "family")
	r := lvs.MarkRule{
		Value: rapid.Uint32Range(0, 15).Draw(t, "value"), Mask: rapid.SampledFrom([]uint32{0xffffffff, 3, 12, 0}).Draw(t, "mask"),
		Protocol: rapid.SampledFrom([]lvs.Protocol{0, lvs.TCP, lvs.UDP}).Draw(t, "protocol"),
		Source:   drawPrefix(t, family), Destination: drawPrefix(t, family),
		SourcePorts: rapid.SampledFrom(drawnPorts).Draw(t, "sport"), Ports: rapid.SampledFrom(drawnPorts).Draw(t, "dport"),
		Interface: rapid.SampledFrom([]string{"", frontName, backName}).Draw(t, "in"),
	}
	r.Only = r.Family()
	return r
}

// TestMarksAsModelled: random packets get the marks that the slow form of the rules gives them.
func TestMarksAsModelled(t *testing.T) {
	r := newRig(t, 64)
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(rapid.Custom(drawMarkRule), 0, 12).Draw(t, "rules")
		if err := r.table.SetMarks(rules); err != nil {
			t.Fatal(err)
		}
		got, err := r.table.Marks()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rules, got, cmp.Comparer(func(a, b lvs.MarkRule) bool { a.Hits, b.Hits = 0, 0; return a == b })); len(rules) > 0 && diff != "" {
			t.Fatalf("the rules as read (-want +got):\n%s", diff)
		}
		for range 20 {
			family := rapid.SampledFrom([]lvs.Family{lvs.IPv4, lvs.IPv6}).Draw(t, "family")
			ports := rapid.SampledFrom([]uint16{1, 20, 80, 81, 443, 65535})
			p := lvs.MarkedPacket{
				Protocol: rapid.SampledFrom([]lvs.Protocol{lvs.TCP, lvs.UDP}).Draw(t, "protocol"),
				From:     netip.AddrPortFrom(drawAddr(t, family), ports.Draw(t, "sport")),
				To:       netip.AddrPortFrom(drawAddr(t, family), ports.Draw(t, "dport")),
			}
			index := r.front
			if p.Interface = frontName; rapid.Bool().Draw(t, "back") {
				p.Interface, index = backName, r.back
			}
			if got, want := r.mark(t, p, index), lvs.Mark(rules, p); got != want {
				t.Fatalf("%v is marked %d, want %d, by %+v", p, got, want, rules)
			}
		}
	})
}

// TestMarksRefused: what can't be a rule changes nothing.
func TestMarksRefused(t *testing.T) {
	r := newRig(t, 64)
	fine := lvs.MarkRule{Value: 1, Mask: 0xffffffff, Protocol: lvs.TCP}
	must(t, r.table.SetMarks([]lvs.MarkRule{fine}))
	for name, rule := range map[string]lvs.MarkRule{
		"interface": {Interface: "nosuch"},
		"families":  {Source: netip.MustParsePrefix("192.0.2.0/24"), Destination: netip.MustParsePrefix("2001:db8::/32")},
		"ports":     {Protocol: 1, Ports: lvs.PortRange{First: 1, Last: 2}},
	} {
		if err := r.table.SetMarks([]lvs.MarkRule{fine, rule}); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	if err := r.table.SetMarks(make([]lvs.MarkRule, maxMarkRules+1)); err == nil {
		t.Error("too many were taken")
	}
	if got, err := r.table.Marks(); err != nil || len(got) != 1 || got[0] != fine {
		t.Errorf("rules %v, %v: want the first alone", got, err)
	}
}

// TestMarkedService: all that has the mark goes to its service, whatever its address and port, and stays
// with one server by persistence.
func TestMarkedService(t *testing.T) {
	for _, fam := range families {
		t.Run(fam.name, func(t *testing.T) {
			p := newPersistScene(t, fam, func(s *lvs.Service) { s.ServiceKey = lvs.ServiceKey{Mark: 7, Family: lvs.FamilyOf(fam.vip)} })
			p.passes("without a mark", p.front, fam.request(lvs.TCP, 80).frame(t))
			must(t, p.table.SetMarks([]lvs.MarkRule{{
				Value: 7, Mask: 0xffffffff, Destination: netip.PrefixFrom(fam.vip, fam.vip.BitLen()), Ports: lvs.PortRange{First: 80, Last: 443},
			}}))
			first := p.connect(p.client(1), 80)
			for _, port := range []uint16{443, 81, 80} {
				if got := p.connect(p.client(1), port); got != first {
					t.Errorf("port %d went to %s, want %s", port, got, first)
				}
			}
			if other := p.connect(p.client(2), 80); other == first || other == "none" {
				t.Errorf("another client went to %s", other)
			}
			p.passes("a port without a mark", p.front, fam.request(lvs.TCP, 444).frame(t))
			later := fam.request(lvs.UDP, 80).fragments(t, 24)[1]
			p.drops("a later fragment whose first was not seen", p.front, later)
			key := lvs.ServiceKey{Mark: 7, Family: lvs.FamilyOf(fam.vip)}
			state, err := p.table.Service(key)
			if must(t, err); state.Stats.Conns != 5 || state.ServiceKey != key {
				t.Errorf("%v counted %d connections, want 5", state.ServiceKey, state.Stats.Conns)
			}
			must(t, p.table.SetMarks(nil))
			p.passes("after the rules are gone", p.front, fam.request(lvs.TCP, 85).frame(t))
		})
	}
}
