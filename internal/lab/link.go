package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"drover/internal/datapath"
)

// connect makes a bridge per network in the segment namespace and wires every port to its bridge.
// Kernel defaults are set first, because an interface takes them over when it is made.
func (l *Lab) connect(ctx context.Context) error {
	for _, node := range l.Topology.Nodes {
		if err := l.Do(node, func() error { return l.prepareNode(node) }); err != nil {
			return fmt.Errorf("prepare %s: %w", node, err)
		}
	}
	return l.Do(Segment, func() error {
		if err := setSysctls(segmentSysctls); err != nil {
			return err
		}
		for _, n := range l.Topology.Networks {
			if err := l.addBridge(n); err != nil {
				return fmt.Errorf("make network %s: %w", n.Name, err)
			}
		}
		for _, p := range l.Topology.Ports {
			if err := l.plug(p); err != nil {
				return fmt.Errorf("connect %s to %s: %w", p.Node, p.Network, err)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

// disconnect removes the links, as far as they are still there.
func (l *Lab) disconnect() error {
	return l.ifOurs(l.Namespace(Segment), func() error {
		for _, p := range l.Topology.Ports {
			link, err := netlink.LinkByName(p.BridgePort())
			if errors.As(err, &netlink.LinkNotFoundError{}) {
				continue
			}
			if err != nil {
				return fmt.Errorf("find link %s: %w", p.BridgePort(), err)
			}
			if err := netlink.LinkDel(link); err != nil {
				return fmt.Errorf("delete link %s: %w", p.BridgePort(), err)
			}
		}
		return nil
	})
}

func (l *Lab) addBridge(n Network) error {
	snooping := false // no querier here: snooping would only delay neighbour discovery
	bridge := &netlink.Bridge{
		LinkAttrs:         netlink.LinkAttrs{Name: n.Name, MTU: l.Config.MTU, TxQLen: -1},
		MulticastSnooping: &snooping,
	}
	if err := netlink.LinkAdd(bridge); err != nil {
		return err
	}
	return netlink.LinkSetUp(bridge)
}

// plug makes the veth pair of a port, from within the segment namespace.
//
// Two offloads are set against what XDP on a director's veth does to frames:
//   - Transmit checksums are filled in at once, at both ends. A sum left to the "hardware" is lost
//     when a frame of this machine becomes an xdp_frame, and the receiver drops the packet. With them
//     goes TSO, so each frame on the wire is one packet. Both ends, because GRO at a bridge port puts
//     packets together again with such partial sums.
//   - GRO is on at the far end of the director's interfaces. A veth accepts redirected frames
//     (ndo_xdp_xmit) only if its peer has a NAPI queue to take them, which it has with an XDP program
//     or with GRO on; otherwise they are counted as dropped and lost. bpf_redirect then works from the
//     director's eth0 to eth0 and eth1. XDP_TX does not look at the peer's GRO: it wants a program.
func (l *Lab) plug(p Port) error {
	node, err := netns.GetFromPath(filepath.Join(netnsFolder, l.Namespace(p.Node)))
	if err != nil {
		return err
	}
	defer node.Close()
	bridge, err := netlink.LinkByName(p.Network)
	if err != nil {
		return err
	}
	veth := netlink.NewVeth(netlink.LinkAttrs{
		Name: p.BridgePort(), MTU: l.Config.MTU, MasterIndex: bridge.Attrs().Index, TxQLen: -1,
	})
	veth.PeerName = p.Interface
	veth.PeerHardwareAddr = net.HardwareAddr(p.MAC)
	veth.PeerNamespace = netlink.NsFd(node)
	veth.PeerMTU = uint32(l.Config.MTU)
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	if err := datapath.SetOffload(p.BridgePort(), datapath.OffloadTXChecksum, false); err != nil {
		return err
	}
	if err := datapath.SetOffload(p.BridgePort(), datapath.OffloadGRO, p.Node == Director); err != nil {
		return err
	}
	if err := l.Do(p.Node, func() error { return datapath.SetOffload(p.Interface, datapath.OffloadTXChecksum, false) }); err != nil {
		return err
	}
	return netlink.LinkSetUp(veth)
}
