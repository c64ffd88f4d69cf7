package vrrp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// A Wire sends and receives the adverts of one family on one interface, for all virtual routers there.
type Wire struct {
	device *net.Interface
	four   *ipv4.PacketConn // one of the two
	six    *ipv6.PacketConn
	close  func() error
}

const (
	trafficClass = 0xc0 // network control (RFC 791): what keepalived sends
	longest      = 2048 // an advert with 255 IPv4 addresses has 1,036 bytes; a longer one is cut, and refused for that
)

// Listen opens a wire on an interface for IPv4 or IPv6. It joins no groups yet.
func Listen(ctx context.Context, device string, six bool) (_ *Wire, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("VRRP on %s: %w", device, err)
		}
	}()
	on, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	bound := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = unix.BindToDevice(int(fd), device) })
		return errors.Join(err, os.NewSyscallError("SO_BINDTODEVICE", failed))
	}}
	network, any := fmt.Sprintf("ip4:%d", Protocol), "0.0.0.0"
	if six {
		network, any = fmt.Sprintf("ip6:%d", Protocol), "::"
	}
	conn, err := bound.ListenPacket(ctx, network, any)
	if err != nil {
		return nil, err
	}
	w := &Wire{device: on, close: conn.Close}
	if six {
		w.six = ipv6.NewPacketConn(conn)
		err = errors.Join(w.six.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagDst|ipv6.FlagSrc, true), w.six.SetMulticastInterface(on),
			w.six.SetMulticastLoopback(false), w.six.SetMulticastHopLimit(maxTTL), w.six.SetHopLimit(maxTTL), w.six.SetTrafficClass(trafficClass))
	} else {
		w.four = ipv4.NewPacketConn(conn)
		err = errors.Join(w.four.SetControlMessage(ipv4.FlagTTL|ipv4.FlagDst|ipv4.FlagSrc, true), w.four.SetMulticastInterface(on),
			w.four.SetMulticastLoopback(false), w.four.SetMulticastTTL(maxTTL), w.four.SetTTL(maxTTL), w.four.SetTOS(trafficClass))
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return w, nil
}

// Join has adverts to a multicast group arrive. It may be joined again.
func (w *Wire) Join(group netip.Addr) error {
	to := &net.IPAddr{IP: group.AsSlice()}
	var err error
	if w.six != nil {
		err = w.six.JoinGroup(w.device, to)
	} else {
		err = w.four.JoinGroup(w.device, to)
	}
	if errors.Is(err, unix.EADDRINUSE) {
		return nil
	}
	return err
}

// Send sends an advert from an address of the interface.
func (w *Wire) Send(payload []byte, source, to netip.Addr) error {
	address := &net.IPAddr{IP: to.AsSlice()}
	if to.Is6() && (to.IsLinkLocalUnicast() || to.IsMulticast()) {
		address.Zone = w.device.Name
	}
	if w.six != nil {
		_, err := w.six.WriteTo(payload, &ipv6.ControlMessage{Src: source.AsSlice(), IfIndex: w.device.Index}, address)
		return err
	}
	_, err := w.four.WriteTo(payload, &ipv4.ControlMessage{Src: source.AsSlice(), IfIndex: w.device.Index}, address)
	return err
}

// Receive waits for the next datagram. Errors: net.ErrClosed after Close.
func (w *Wire) Receive() (*Datagram, error) {
	buffer := make([]byte, longest)
	d := &Datagram{TTL: -1}
	var n int
	var from net.Addr
	var destination net.IP
	var err error
	if w.six != nil {
		var about *ipv6.ControlMessage
		if n, about, from, err = w.six.ReadFrom(buffer); err == nil && about != nil {
			d.TTL, destination = about.HopLimit, about.Dst
		}
	} else {
		var about *ipv4.ControlMessage
		if n, about, from, err = w.four.ReadFrom(buffer); err == nil && about != nil {
			d.TTL, destination = about.TTL, about.Dst
		}
	}
	if err != nil {
		return nil, err
	}
	d.At = time.Now()
	host, _, _ := strings.Cut(from.String(), "%")
	if d.Source, err = netip.ParseAddr(host); err != nil {
		return nil, fmt.Errorf("a datagram from %q: %w", host, err)
	}
	d.Destination, _ = netip.AddrFromSlice(destination)
	d.Source, d.Destination = d.Source.Unmap(), d.Destination.Unmap()
	d.Payload = buffer[:n]
	return d, nil
}

// Close closes the wire. A Receive that waits ends.
func (w *Wire) Close() error { return w.close() }
