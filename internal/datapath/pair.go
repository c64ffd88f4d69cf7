package datapath

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The pair of veth devices by which packets that are made on this host come to drover_xdp, and what it gives the
// host comes back (bpf/local.h). The alias tells that it is ours.
const (
	outerName = "drover0"
	innerName = HostInterface // it has drover_xdp
	pairAlias = "Drover: packets of this host"
	pairMTU   = 65535 // lo's, and less one: what it takes at most
)

// HostInterface is the interface that packets of this host's own clients come in by.
const HostInterface = "drover1"

// pair is where the two are.
type pair struct{ outer, inner Interface }

// ensurePair makes the pair unless it is there. Somebody else's interface of one of the names is an error.
func ensurePair() (pair, error) {
	device, err := netlink.LinkByName(outerName)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		if err := makePair(); err != nil {
			return pair{}, fmt.Errorf("make %s and %s: %w", outerName, innerName, err)
		}
		device, err = netlink.LinkByName(outerName)
	}
	if err != nil {
		return pair{}, fmt.Errorf("look up %s: %w", outerName, err)
	}
	if device.Attrs().Alias != pairAlias {
		return pair{}, fmt.Errorf("interface %s is there, and not Drover's", outerName)
	}
	peer, err := netlink.LinkByName(innerName)
	if err != nil {
		return pair{}, fmt.Errorf("look up %s: %w", innerName, err)
	}
	p := pair{
		outer: Interface{Name: outerName, Index: device.Attrs().Index},
		inner: Interface{Name: innerName, Index: peer.Attrs().Index},
	}
	return p, p.setUp()
}

func makePair() error {
	device := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: outerName, MTU: pairMTU}, PeerName: innerName, PeerMTU: pairMTU,
	}
	if err := netlink.LinkAdd(device); err != nil {
		return err
	}
	return netlink.LinkSetAlias(device, pairAlias)
}

// setUp may be done again.
func (p pair) setUp() error {
	for _, i := range []Interface{p.outer, p.inner} {
		device, err := netlink.LinkByIndex(i.Index)
		if err != nil {
			return err
		}
		// No IPv6 of its own: neither addresses nor what asks for them.
		_ = writeSettings(map[string]string{"net/ipv6/conf/" + i.Name + "/disable_ipv6": "1"}) // or there is no IPv6
		if err := errors.Join(netlink.LinkSetARPOff(device), netlink.LinkSetUp(device)); err != nil {
			return fmt.Errorf("set %s up: %w", i.Name, err)
		}
	}
	// XDP must find checksums that are complete, and no frame larger than the wire's. Without checksums of the
	// device's there is no segmentation by it, and nothing to switch. With GRO veth takes frames that XDP
	// redirects to it.
	return errors.Join(SetOffload(outerName, OffloadTXChecksum, false), SetOffload(outerName, OffloadGRO, true))
}

// removePair removes it if it is ours.
func removePair() error {
	device, err := netlink.LinkByName(outerName)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up %s: %w", outerName, err)
	}
	if device.Attrs().Alias != pairAlias {
		return nil
	}
	if err := netlink.LinkDel(device); err != nil {
		return fmt.Errorf("remove %s: %w", outerName, err)
	}
	return nil
}

// The offloads of linux/ethtool.h that are switched here and in labs.
const (
	OffloadTXChecksum = 0x17 // ETHTOOL_STXCSUM
	OffloadGRO        = 0x2c // ETHTOOL_SGRO
)

// ethtoolValue is struct ethtool_value (linux/ethtool.h), the argument of the on/off commands.
type ethtoolValue struct {
	command uint32
	data    uint32
}

// ifreqData is struct ifreq (linux/if.h) with a pointer in its union.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// SetOffload switches an offload of an interface of the thread's network namespace.
func SetOffload(iface string, command uint32, on bool) error {
	value := ethtoolValue{command: command}
	if on {
		value.data = 1
	}
	request := ifreqData{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], iface)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set offload %#x of %s: %w", command, iface, err)
	}
	defer unix.Close(fd)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(&value)
	if errno != 0 {
		return fmt.Errorf("set offload %#x of %s: %w", command, iface, errno)
	}
	return nil
}
