package datapath

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Flags of a device: DEVICE_* in bpf/types.h.
const (
	deviceTX      = 1
	deviceGeneric = 2
)

// maxIngress is one more than the highest interface index whose MAC the programs check.
const maxIngress = 4096

// attachedInterfaces are those that exist.
func (f folder) attachedInterfaces() ([]Interface, error) {
	all, err := f.attachments()
	if err != nil {
		return nil, err
	}
	var live []Interface
	for _, a := range all {
		if a.Index != 0 {
			live = append(live, a.Interface)
		}
	}
	return live, nil
}

// describeDevices tells the programs what they cannot find out: the MACs that frames for this machine
// have, and with which addresses to ask for neighbours. It keeps the rows that are there, as next hops
// point to them.
func (f folder) describeDevices(maps *directorMaps) error {
	attached, err := f.attachedInterfaces()
	if err != nil {
		return err
	}
	rows, err := deviceRows(maps)
	if err != nil {
		return err
	}
	if err := rows.freeGone(maps); err != nil {
		return err
	}
	for _, i := range attached {
		device, err := netlink.LinkByIndex(i.Index)
		if err != nil {
			return fmt.Errorf("look up interface %s: %w", i.Name, err)
		}
		row, ok := rows.of(uint32(i.Index))
		if !ok {
			continue // more than the table holds; the programs count what they must drop
		}
		d, err := newDevice(device, i.Mode)
		if err != nil {
			return err
		}
		if err := maps.Devices.Put(row, d); err != nil {
			return fmt.Errorf("describe interface %s: %w", i.Name, err)
		}
		if i.Index < maxIngress {
			if err := maps.IngressMacs.Put(uint32(i.Index), d.Mac); err != nil {
				return fmt.Errorf("describe interface %s: %w", i.Name, err)
			}
		}
	}
	return nil
}

// deviceIndexes has the interface index in each row of the devices map; 0 is a free row.
type deviceIndexes []uint32

func deviceRows(maps *directorMaps) (deviceIndexes, error) {
	rows := make(deviceIndexes, maps.Devices.MaxEntries())
	for row := range rows {
		var d directorDevice
		if err := maps.Devices.Lookup(uint32(row), &d); err != nil {
			return nil, fmt.Errorf("read devices: %w", err)
		}
		rows[row] = d.Ifindex
	}
	return rows, nil
}

// freeGone frees the rows of interfaces that no longer exist: programs take one for each that a route
// leads to. A next hop that still names the row is looked up again within HOP_REFRESH.
func (rows deviceIndexes) freeGone(maps *directorMaps) error {
	devices, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	exists := map[uint32]bool{0: true}
	for _, device := range devices {
		exists[uint32(device.Attrs().Index)] = true
	}
	for row, index := range rows {
		if exists[index] {
			continue
		}
		if err := maps.Devices.Put(uint32(row), directorDevice{}); err != nil {
			return fmt.Errorf("free a device: %w", err)
		}
		rows[row] = 0
	}
	return nil
}

// of gives the row of an interface, a free one if it has none. Row 0 is nobody's.
func (rows deviceIndexes) of(index uint32) (row uint32, ok bool) {
	for _, wanted := range []uint32{index, 0} {
		for row := 1; row < len(rows); row++ {
			if rows[row] == wanted {
				rows[row] = index
				return uint32(row), true
			}
		}
	}
	return 0, false
}

func newDevice(device netlink.Link, mode string) (directorDevice, error) {
	attrs := device.Attrs()
	d := directorDevice{
		Ifindex: uint32(attrs.Index), Mac: macWord(attrs.HardwareAddr), Mtu: uint32(attrs.MTU),
	}
	// On veth XDP_TX arrives only where the peer has an XDP program too; a redirect always does.
	if device.Type() != "veth" {
		d.Flags |= deviceTX
	}
	if mode == modeGeneric {
		d.Flags |= deviceGeneric
	}
	addresses, err := netlink.AddrList(device, netlink.FAMILY_ALL)
	if err != nil {
		return d, fmt.Errorf("list the addresses of %s: %w", attrs.Name, err)
	}
	for _, a := range addresses {
		if v4 := a.IP.To4(); v4 != nil {
			if d.Addr4 == 0 && a.Scope == int(netlink.SCOPE_UNIVERSE) && !isHost(a.IPNet) {
				d.Addr4 = uint32(v4[0]) | uint32(v4[1])<<8 | uint32(v4[2])<<16 | uint32(v4[3])<<24
			}
		} else if a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
			copy(d.Addr6.Byte[:], a.IP)
		}
	}
	return d, nil
}

// isHost: a single address on an interface is a VIP more often than the director's own.
func isHost(n *net.IPNet) bool {
	ones, bits := n.Mask.Size()
	return ones == bits
}

// macWord puts a MAC into the low 48 bits as it lies on the wire.
func macWord(mac net.HardwareAddr) uint64 {
	var word uint64
	for i, b := range mac {
		if i < 6 {
			word |= uint64(b) << (8 * i)
		}
	}
	return word
}
