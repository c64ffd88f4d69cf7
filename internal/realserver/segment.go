package realserver

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"drover/internal/datapath"
)

// limits are the segment sizes that a SYN of a VIP may name at most, in bytes; 0: not lowered.
type limits struct{ v4, v6 uint32 }

// Headers, in bytes. What a tunnel adds besides the outer IP header: GRE with a checksum; UDP and GUE with
// remote checksum.
const (
	header4    = 20
	header6    = 40
	headerTCP  = 20
	headersGRE = 8
	headersGUE = 8 + 4 + 8
)

// segmentSizes gives what the SYNs of the VIPs are lowered to, by the smallest MTU of the interfaces.
func (c Config) segmentSizes(interfaces []datapath.Interface, own []netip.Addr) (limits, error) {
	mtu := 1 << 16
	for _, i := range interfaces {
		device, err := netlink.LinkByIndex(i.Index)
		if err != nil {
			return limits{}, fmt.Errorf("look up interface %s: %w", i.Name, err)
		}
		mtu = min(mtu, device.Attrs().MTU)
	}
	return c.sizesOf(mtu, own)
}

// sizesOf gives what is asked for, else what fits into the MTU with the largest outer headers that this
// server takes: an IPv6 header if it has such an address, and those of GUE if it has a port for it, else
// of GRE.
func (c Config) sizesOf(mtu int, own []netip.Addr) (limits, error) {
	if !c.ClampMSS {
		return limits{}, nil
	}
	if c.MSS != 0 {
		return limits{uint32(c.MSS), uint32(c.MSS)}, nil
	}
	outer := header4
	if slices.ContainsFunc(own, netip.Addr.Is6) {
		outer = header6
	}
	if len(c.Ports) > 0 {
		outer += headersGUE
	} else {
		outer += headersGRE
	}
	if mtu-outer-header6-headerTCP < minMSS {
		return limits{}, fmt.Errorf("an MTU of %d is too small for %d bytes of tunnel headers", mtu, outer)
	}
	return limits{uint32(mtu - outer - header4 - headerTCP), uint32(mtu - outer - header6 - headerTCP)}, nil
}
