package realserver

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// fill writes a Config to the maps: what is new first, so that nothing that stays is missed meanwhile.
func fill(maps *serverMaps, cfg Config, own []netip.Addr, sizes limits) error {
	settings := serverLimits{Mss4: sizes.v4, Mss6: sizes.v6}
	if len(cfg.Sources) > 0 {
		settings.CheckSources = 1
	} else if err := maps.Settings.Put(uint32(0), settings); err != nil { // before the list is empty
		return fmt.Errorf("write the settings: %w", err)
	}
	return errors.Join(
		setKeys(maps.Sources, keysOf(cfg.Sources)),
		setKeys(maps.GuePorts, cfg.Ports),
		setKeys(maps.Own, keysOf(own)),
		setKeys(maps.Vips, keysOf(cfg.VIPs)),
		maps.Settings.Put(uint32(0), settings),
	)
}

// keysOf gives addresses as the programs have them, IPv4 as ::ffff:a.b.c.d.
func keysOf(addrs []netip.Addr) [][16]byte {
	var keys [][16]byte
	for _, a := range addrs {
		keys = append(keys, a.As16())
	}
	return keys
}

// setKeys makes these the keys of a map.
func setKeys[K comparable](m *ebpf.Map, keys []K) error {
	wanted := map[K]bool{}
	for _, key := range keys {
		wanted[key] = true
		if err := m.Put(key, uint8(1)); err != nil {
			return fmt.Errorf("fill a map: %w", err)
		}
	}
	var old []K
	var key K
	var value uint8
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		if !wanted[key] {
			old = append(old, key)
		}
	}
	if err := entries.Err(); err != nil {
		return fmt.Errorf("read a map: %w", err)
	}
	for _, key := range old {
		if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("clean a map up: %w", err)
		}
	}
	return nil
}

// ownAddresses are the machine's own, to which tunnels lead: all global ones but the VIPs.
func ownAddresses(vips []netip.Addr) ([]netip.Addr, error) {
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	vip := map[netip.Addr]bool{}
	for _, a := range vips {
		vip[a] = true
	}
	var own []netip.Addr
	for _, a := range addrs {
		addr, ok := netip.AddrFromSlice(a.IP)
		addr = addr.Unmap()
		if ok && addr.IsGlobalUnicast() && !vip[addr] {
			own = append(own, addr)
		}
	}
	if len(own) == 0 {
		return nil, errors.New("this machine has no address of its own that a tunnel could lead to")
	}
	return own, nil
}

// Counter is what became of packets, and of how many. Each packet is in exactly one; clamped are others.
type Counter struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"` // decap | pass | drop
	Help    string `json:"help"`
	Value   uint64 `json:"value"`
}

// counters describes every outcome, in the order in which they are shown.
var counters = []struct {
	outcome serverOutcome
	Counter
}{
	{serverOutcomeOUTCOME_DECAP_IPIP, Counter{Name: "ipip", Verdict: "decap", Help: "taken out of IPIP"}},
	{serverOutcomeOUTCOME_DECAP_GUE, Counter{Name: "gue", Verdict: "decap", Help: "taken out of GUE"}},
	{serverOutcomeOUTCOME_DECAP_GRE, Counter{Name: "gre", Verdict: "decap", Help: "taken out of GRE"}},
	{serverOutcomeOUTCOME_PASS_OTHER, Counter{Name: "other", Verdict: "pass", Help: "no tunnel's packet"}},
	{serverOutcomeOUTCOME_PASS_NOT_OURS, Counter{Name: "not_ours", Verdict: "pass", Help: "a tunnel's, for another address than the server's own"}},
	{serverOutcomeOUTCOME_PASS_NOT_VIP, Counter{Name: "not_vip", Verdict: "pass", Help: "the packet inside is for no VIP of this server"}},
	{serverOutcomeOUTCOME_PASS_FRAGMENT, Counter{Name: "fragment", Verdict: "pass", Help: "of an outer packet, which is not put together here"}},
	{serverOutcomeOUTCOME_PASS_OPTIONS, Counter{Name: "options", Verdict: "pass", Help: "of GUE or GRE, that no director sends"}},
	{serverOutcomeOUTCOME_PASS_MALFORMED, Counter{Name: "malformed", Verdict: "pass", Help: "lengths that do not fit, left to the host to refuse"}},
	{serverOutcomeOUTCOME_DROP_SOURCE, Counter{Name: "source", Verdict: "drop", Help: "the sender of the tunnel is not in the list"}},
	{serverOutcomeOUTCOME_DROP_CHECKSUM, Counter{Name: "checksum", Verdict: "drop", Help: "wrong checksum of UDP or GRE"}},
	{serverOutcomeOUTCOME_DROP_ECN, Counter{Name: "ecn", Verdict: "drop", Help: "congestion was met, and the packet inside can't tell (RFC 6040)"}},
	{serverOutcomeOUTCOME_DROP_INTERNAL, Counter{Name: "internal", Verdict: "drop", Help: "a defect of Drover's: please report it"}},
}

// readCounters adds up the outcomes over the CPUs.
func readCounters(maps *serverMaps) ([]Counter, error) {
	all := make([]Counter, 0, len(counters))
	for _, described := range counters {
		c := described.Counter
		var err error
		if c.Value, err = sum(maps.Outcomes, uint32(described.outcome)); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func sum(m *ebpf.Map, row uint32) (total uint64, err error) {
	var each []uint64
	if err := m.Lookup(row, &each); err != nil {
		return 0, fmt.Errorf("read the counters: %w", err)
	}
	for _, n := range each {
		total += n
	}
	return total, nil
}
