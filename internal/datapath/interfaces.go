package datapath

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
)

// ErrNoInterface says that there is nothing to attach to.
var ErrNoInterface = errors.New("no interface to attach to: none is physical or veth, up, and has a " +
	"global address; name one with --interface or in DROVER_INTERFACE")

// chooseInterfaces gives the interfaces to attach to, without modes: those named; else those of
// DROVER_INTERFACE (commas or blanks between them); else the fitting ones (see fits).
// Errors: one that names the first unknown interface, ErrNoInterface.
func chooseInterfaces(named []string) ([]Interface, error) {
	if len(named) == 0 {
		named = strings.FieldsFunc(os.Getenv("DROVER_INTERFACE"), func(r rune) bool {
			return r == ',' || r == ' ' || r == '\t' || r == '\n'
		})
	}
	if len(named) > 0 {
		return namedInterfaces(named)
	}
	devices, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	var chosen []Interface
	for _, device := range devices {
		ok, err := fits(device, devices)
		if err != nil {
			return nil, err
		}
		if ok {
			chosen = append(chosen, Interface{Name: device.Attrs().Name, Index: device.Attrs().Index})
		}
	}
	if len(chosen) == 0 {
		return nil, ErrNoInterface
	}
	return chosen, nil
}

// namedInterfaces looks interfaces up by name, each once.
func namedInterfaces(names []string) ([]Interface, error) {
	var found []Interface
	seen := map[int]bool{}
	for _, name := range names {
		device, err := netlink.LinkByName(name)
		var unknown netlink.LinkNotFoundError
		if errors.As(err, &unknown) {
			return nil, fmt.Errorf("interface %q does not exist", name)
		}
		if err != nil {
			return nil, fmt.Errorf("look up interface %q: %w", name, err)
		}
		index := device.Attrs().Index
		if !seen[index] { // an alternative name may lead to the same one
			seen[index] = true
			found = append(found, Interface{Name: device.Attrs().Name, Index: index})
		}
	}
	return found, nil
}

// fits tells whether an interface is one that packets for a VIP come in by: takesPackets, and has a
// global address.
func fits(device netlink.Link, all []netlink.Link) (bool, error) {
	if !takesPackets(device, all) {
		return false, nil
	}
	addresses, err := netlink.AddrList(device, netlink.FAMILY_ALL)
	if err != nil {
		return false, fmt.Errorf("list the addresses of %s: %w", device.Attrs().Name, err)
	}
	for _, address := range addresses {
		if address.Scope == int(netlink.SCOPE_UNIVERSE) {
			return true, nil
		}
	}
	return false, nil
}

// takesPackets tells whether an interface is a physical one, a veth or a bond, up, and not a port of
// something. Bridges (docker0, virbr0), tunnels, VLAN devices and the loopback are out: they see
// packets that have passed one of the former.
func takesPackets(device netlink.Link, all []netlink.Link) bool {
	switch device.Type() {
	case "device", "veth", "bond":
	default:
		return false
	}
	attrs := device.Attrs()
	if attrs.Flags&net.FlagUp == 0 || attrs.Flags&net.FlagLoopback != 0 || attrs.EncapType != "ether" {
		return false
	}
	return attrs.MasterIndex == 0 || isVRF(attrs.MasterIndex, all)
}

// isVRF: members of a VRF are interfaces in their own right.
func isVRF(index int, all []netlink.Link) bool {
	for _, device := range all {
		if device.Attrs().Index == index {
			return device.Type() == "vrf"
		}
	}
	return false
}
