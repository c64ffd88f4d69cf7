package realserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// devices are the kernel's means to take packets out of tunnels, as far as Up made them.
type devices struct {
	Made   []string `json:"made,omitempty"`   // names of devices
	Raised []string `json:"raised,omitempty"` // names of devices that were there, and down
	Ports  []uint16 `json:"ports,omitempty"`  // of GUE
}

// without gives those that are not among others.
func (d devices) without(others devices) devices {
	return devices{
		Made:   difference(d.Made, others.Made),
		Raised: difference(d.Raised, others.Raised),
		Ports:  difference(d.Ports, others.Ports),
	}
}

// with gives those of both.
func (d devices) with(others devices) devices {
	more := others.without(d)
	return devices{
		Made:   slices.Concat(d.Made, more.Made),
		Raised: slices.Concat(d.Raised, more.Raised),
		Ports:  slices.Concat(d.Ports, more.Ports),
	}
}

func difference[T comparable](all, others []T) []T {
	var rest []T
	for _, v := range all {
		if !slices.Contains(others, v) {
			rest = append(rest, v)
		}
	}
	return rest
}

// kinds are the devices that take packets from any sender ("external" of ip-link(8)). Of sit there is no
// such thing: its own first device, sit0, is one already, and then no other can be made. Those of GRE drop
// packets with a checksum (ip_tunnel_rcv wants what the device was made with, and there is one at most).
var kinds = []struct {
	what     string
	link     netlink.Link
	existing string // the device to use where ours may not be made
}{
	{"IPv4 in IPv4", &netlink.Iptun{LinkAttrs: named("drover_ipip"), FlowBased: true}, ""},
	{"IPv6 in IPv4", &netlink.Sittun{LinkAttrs: named("drover_sit"), Local: net.IPv4zero, Remote: net.IPv4zero}, "sit0"},
	{"IPIP in IPv6", &netlink.Ip6tnl{LinkAttrs: named("drover_ip6tnl"), FlowBased: true}, ""},
	{"GRE in IPv4", &netlink.Gretun{LinkAttrs: named("drover_gre"), Local: net.IPv4zero, FlowBased: true}, ""},
	{"GRE in IPv6", &netlink.Gretun{LinkAttrs: named("drover_ip6gre"), Local: net.IPv6zero, FlowBased: true}, ""},
}

func named(name string) netlink.LinkAttrs { return netlink.LinkAttrs{Name: name, TxQLen: -1} }

// makeDevices makes what is not there yet. What the kernel has not is a warning each; that it has none is
// an error. made has what this and the earlier calls made, also with an error.
func makeDevices(ports []uint16, before devices) (warnings []string, made devices, err error) {
	made = devices{Made: slices.Clone(before.Made), Raised: slices.Clone(before.Raised)}
	usable := 0
	for _, kind := range kinds {
		name := kind.link.Attrs().Name
		err := netlink.LinkAdd(kind.link)
		switch {
		case err == nil:
			made.Made = append(made.Made, name)
		case errors.Is(err, unix.EOPNOTSUPP):
			warnings = append(warnings, "the kernel has no devices for "+kind.what+": such packets are not taken")
			continue
		case !errors.Is(err, unix.EEXIST):
			return warnings, made, fmt.Errorf("make the device %s: %w", name, err)
		}
		if err := made.raise(name, kind.existing); err != nil {
			return warnings, made, err
		}
		usable++
	}
	if usable == 0 {
		return nil, made, errors.New("the kernel has no tunnel devices at all: use the tunnel xdp")
	}
	for _, port := range ports {
		more, err := addGUE(port, slices.Contains(before.Ports, port))
		if err != nil {
			return warnings, made, err
		}
		warnings = append(warnings, more...)
		made.Ports = append(made.Ports, port)
	}
	return warnings, made, nil
}

// raise brings a device up. The way back to the client is another, so the source is only looked for on any
// interface (rp_filter=2); the value in force is the greater of conf/all and conf/INTERFACE.
func (d *devices) raise(name, existing string) error {
	device, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) && existing != "" {
		name = existing
		device, err = netlink.LinkByName(name)
	}
	if err != nil {
		return fmt.Errorf("look up the device %s: %w", name, err)
	}
	if err := (kernel{}).setSysctl("net/ipv4/conf/"+name+"/rp_filter", "2"); err != nil {
		return err
	}
	if device.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := netlink.LinkSetUp(device); err != nil {
		return fmt.Errorf("bring the device %s up: %w", name, err)
	}
	if !slices.Contains(d.Made, name) {
		d.Raised = append(d.Raised, name)
	}
	return nil
}

// addressDevices gives our devices the IPv4 VIPs, and no others: where the kernel looks at sources at all, it
// takes no packet of a device that has no address.
func addressDevices(vips []netip.Addr) error {
	for _, kind := range kinds {
		name := kind.link.Attrs().Name
		device, err := netlink.LinkByName(name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			continue
		}
		if err == nil {
			err = addressDevice(device, vips)
		}
		if err != nil {
			return fmt.Errorf("give the device %s the VIPs: %w", name, err)
		}
	}
	return nil
}

func addressDevice(device netlink.Link, vips []netip.Addr) error {
	there, err := netlink.AddrList(device, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, a := range there {
		if vip, ok := netip.AddrFromSlice(a.IP.To4()); !ok || !slices.Contains(vips, vip) {
			if err := netlink.AddrDel(device, &a); err != nil {
				return err
			}
		}
	}
	for _, vip := range vips {
		if !vip.Is4() {
			continue
		}
		if err := netlink.AddrReplace(device, vipAddr(vip)); err != nil {
			return err
		}
	}
	return nil
}

// gueRequest asks the family fou of generic netlink (linux/fou.h) to listen on a port, or to stop. The netlink
// library's own names a protocol of 0 beside GUE, which kernels refuse as out of range.
func gueRequest(command uint8, family int, port uint16) error {
	id, err := netlink.FouFamilyId()
	if err != nil {
		return err
	}
	request := nl.NewNetlinkRequest(id, unix.NLM_F_ACK)
	raw := []byte{command, 1, 0, 0}
	for _, attribute := range []*nl.RtAttr{
		nl.NewRtAttr(netlink.FOU_ATTR_PORT, binary.BigEndian.AppendUint16(nil, port)),
		nl.NewRtAttr(netlink.FOU_ATTR_TYPE, []byte{netlink.FOU_ENCAP_GUE}),
		nl.NewRtAttr(netlink.FOU_ATTR_AF, []byte{uint8(family)}),
	} {
		raw = append(raw, attribute.Serialize()...)
	}
	request.AddRawData(raw)
	_, err = request.Execute(unix.NETLINK_GENERIC, 0)
	return err
}

// addGUE listens on a port, by IPv4 and by IPv6; ours, if an earlier Up did so already. The kernel does not
// fetch its module by itself.
func addGUE(port uint16, ours bool) (warnings []string, err error) {
	if _, err := netlink.FouFamilyId(); err != nil {
		_ = exec.Command("modprobe", "fou").Run() // what is still missing then is told below
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		err := gueRequest(netlink.FOU_CMD_ADD, family, port)
		switch {
		case err == nil, errors.Is(err, unix.EEXIST), errors.Is(err, unix.EALREADY),
			ours && errors.Is(err, unix.EADDRINUSE):
		case family == unix.AF_INET6:
			warnings = append(warnings, fmt.Sprintf("the kernel takes no GUE in IPv6 on port %d: %v", port, err))
		default:
			return nil, fmt.Errorf("take GUE on port %d (needs the module fou): %w", port, err)
		}
	}
	return warnings, nil
}

// removeDevices undoes makeDevices. What is gone already is no error.
func removeDevices(d devices) error {
	for _, port := range d.Ports {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			_ = gueRequest(netlink.FOU_CMD_DEL, family, port) // gone, or never there
		}
	}
	var failed []error
	for _, name := range d.Made {
		if device, err := netlink.LinkByName(name); err == nil {
			failed = append(failed, netlink.LinkDel(device))
		}
	}
	for _, name := range d.Raised {
		if device, err := netlink.LinkByName(name); err == nil {
			failed = append(failed, netlink.LinkSetDown(device))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("remove the tunnel devices: %w", err)
	}
	return nil
}
