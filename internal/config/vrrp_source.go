package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"drover/internal/lvs"
)

// sourceRows are those of where adverts come from and go to.
var sourceRows = []row{
	{"mcast_src_ip", Acted, "source of adverts", (*builder).readSource},
	{"unicast_src_ip", Acted, "source of adverts to peers", func(b *builder, s *Statement) {
		instance(b).unicastSaid = true
		b.readSource(s)
	}},
	{"track_src_ip", Checked, "FAULT while the source is not there", mark(func(b *builder) *bool { return &instance(b).TrackSource })},
	{"mcast_dst_ip", Acted, "another group than 224.0.0.18 or ff02::12", (*builder).readMulticast},
	{"unicast_peer", Acted, "ADDRESS [min_ttl N] [max_ttl N]: adverts go to them alone", func(b *builder, s *Statement) {
		b.bare(s)
		b.enter(peerBlock, s)
	}},
	{"unicast_ttl", Checked, "0 to 255", integer(0, 255, func(b *builder) *int { return &instance(b).UnicastTTL })},
	{"unicast_fault_no_peer", Checked, "FAULT without peers, not multicast", mark(func(b *builder) *bool { return &instance(b).FaultNoPeer })},
	{"check_unicast_src", Acted, "adverts of others than peers are dropped", unicast(mark(func(b *builder) *bool { return &instance(b).CheckSource }))},
	{"old_unicast_checksum", Checked, "version 3's checksum as keepalived up to 1.3.6 had it; never: not found out", unicast((*builder).readOldChecksum)},
}

// unicast remembers that a word of unicast was said.
func unicast(read reader1) reader1 {
	return func(b *builder, s *Statement) {
		instance(b).unicastSaid = true
		read(b, s)
	}
}

func (b *builder) readSource(s *Statement) {
	if a, ok := b.address(s, b.text(s)); ok && b.sameFamily(s, lvs.FamilyOf(a), "it") {
		instance(b).Source = a
	}
}

func (b *builder) readMulticast(s *Statement) {
	a, ok := b.address(s, b.text(s))
	switch {
	case !ok:
	case !a.IsMulticast():
		b.wrong(s, "%s is no multicast address: it is ignored", a)
	default:
		instance(b).Multicast, instance(b).multicastSaid = a, s
	}
}

func (b *builder) readOldChecksum(s *Statement) {
	switch {
	case len(s.Words) < 2:
		instance(b).OldChecksum = "always"
	case s.Words[1] == "never":
		instance(b).OldChecksum = "never"
	default:
		b.wrong(s, "%q: want never, or nothing", s.Words[1])
	}
}

var peerBlock = &blockKind{name: "unicast_peer", word: (*builder).readPeer}

// readPeer reads "ADDRESS [min_ttl N] [max_ttl N]".
func (b *builder) readPeer(s *Statement) {
	a, ok := b.address(s, s.Keyword())
	if !ok || !b.sameFamily(s, lvs.FamilyOf(a), a.String()) {
		return
	}
	p := Peer{Addr: a, MaxTTL: 255}
	for rest := s.Values(); len(rest) > 0; rest = rest[min(2, len(rest)):] {
		at := map[string]*int{"min_ttl": &p.MinTTL, "max_ttl": &p.MaxTTL}[rest[0]]
		if at == nil || len(rest) < 2 {
			b.wrong(s, "%q: want min_ttl N or max_ttl N", rest[0])
			continue
		}
		if n, ok := b.numberIn(s, rest[1], 0, 255); ok {
			*at = n
		}
		instance(b).CheckSource = true
	}
	if p.MinTTL > p.MaxTTL {
		b.wrong(s, "min_ttl %d is more than max_ttl %d: all that it sends is dropped", p.MinTTL, p.MaxTTL)
	}
	instance(b).Peers = append(instance(b).Peers, p)
}

// vmacRows are those of an instance's own interface.
var vmacRows = []row{
	{"use_vmac", Checked, "[NAME] [MAC]: an interface with the virtual router's MAC address", (*builder).readVMAC},
	{"use_vmac_addr", Checked, "also on the interfaces of single addresses", mark(func(b *builder) *bool { return &instance(b).VMACAddresses })},
	{"vmac_xmit_base", Checked, "adverts go by the interface below", mark(func(b *builder) *bool { return &instance(b).xmitBase })},
	{"use_ipvlan", Checked, "[NAME] [ADDRESS] [bridge|private|vepa]", (*builder).readIPVLAN},
	{"vrf", Checked, "without an interface: the VRF to work in", func(b *builder, s *Statement) {
		if instance(b).Interface != "" {
			b.wrong(s, "there is an interface already: it is ignored")
			return
		}
		instance(b).VRF = b.text(s)
	}},
}

func (b *builder) readVMAC(s *Statement) {
	v := &VMAC{}
	for _, word := range s.Values() {
		switch {
		case isMAC(word):
			if strings.HasPrefix(strings.ToLower(word), "00:00:5e:00:0") {
				b.wrong(s, "%s: not one of VRRP's own MAC addresses", word)
				continue
			}
			v.MAC = word
		case v.Name != "":
			b.wrong(s, "%q: want [NAME] [MAC]", word)
		case len(word) > maxInterface || strings.ContainsAny(word, "/:"):
			b.wrong(s, "%q: want the name of an interface, %d letters at most", word, maxInterface)
		default:
			v.Name = word
		}
	}
	instance(b).VMAC = v
}

// isMAC tells a MAC address of six parts, or of five where the VRID is the last.
func isMAC(word string) bool {
	if strings.Count(word, ":") == 4 {
		word += ":00"
	}
	mac, err := net.ParseMAC(word)
	return err == nil && len(mac) == 6
}

func (b *builder) readIPVLAN(s *Statement) {
	v := &VMAC{IPVLAN: true, Mode: "bridge"}
	for _, word := range s.Values() {
		text := word
		if !strings.Contains(text, "/") && strings.ContainsAny(text, ".:") {
			text += map[bool]string{true: "/128", false: "/32"}[strings.Contains(text, ":")]
		}
		prefix, err := netip.ParsePrefix(text)
		switch {
		case err == nil:
			v.Addr = prefix
		case slices.Contains([]string{"bridge", "private", "vepa"}, word):
			v.Mode = word
		case v.Name != "" || len(word) > maxInterface:
			b.wrong(s, "%q: want [NAME] [ADDRESS] [bridge|private|vepa]", word)
		default:
			v.Name = word
		}
	}
	instance(b).VMAC = v
}
