package drain

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"drover/internal/lvs"
)

// Probes are sent in bursts of so many, with a pause between them.
const (
	burst = 256
	pause = 10 * time.Millisecond
)

// probe has the ends of TCP connections say something: each gets, as from the other, an ACK out of its window,
// which it must answer with an ACK of its own (RFC 9293, Section 3.10.7.4). That passes the director. With
// NAT the server's answer does, too.
func probe(connections []lvs.Connection) error {
	sockets := map[lvs.Family]int{}
	defer func() {
		for _, fd := range sockets {
			unix.Close(fd) //nolint:errcheck // nothing was kept in it
		}
	}()
	for i, c := range connections {
		if c.Protocol != lvs.TCP {
			continue
		}
		if i%burst == burst-1 {
			time.Sleep(pause)
		}
		err := send(sockets, c.Virtual, c.Client)
		if c.Forwarding == lvs.Masquerade {
			err = errors.Join(err, send(sockets, c.Client, c.Destination))
		}
		if err != nil {
			return fmt.Errorf("ask %s for a packet: %w", c.Client, err)
		}
	}
	return nil
}

// send sends an ACK with numbers by chance.
func send(sockets map[lvs.Family]int, from, to netip.AddrPort) error {
	family := lvs.FamilyOf(to.Addr())
	fd, ok := sockets[family]
	if !ok {
		var err error
		if fd, err = rawSocket(family); err != nil {
			return err
		}
		sockets[family] = fd
	}
	packet, err := ack(from, to)
	if err != nil {
		return err
	}
	err = unix.Sendto(fd, packet, unix.MSG_DONTWAIT, sockAddr(to.Addr()))
	if errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EAGAIN) ||
		errors.Is(err, unix.ENOBUFS) {
		return nil // who is not there, or later, is asked again
	}
	return err
}

// rawSocket gives one that takes packets with their IP header, raw(7).
func rawSocket(family lvs.Family) (int, error) {
	domain := unix.AF_INET
	if family == lvs.IPv6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return 0, fmt.Errorf("open a raw socket: %w", err)
	}
	return fd, nil
}

func sockAddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}

// ack gives an IP packet with a TCP segment of no data.
func ack(from, to netip.AddrPort) ([]byte, error) {
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()),
		Seq: rand.Uint32(), Ack: rand.Uint32(), ACK: true,
	}
	var ip gopacket.SerializableLayer
	if from.Addr().Is4() {
		v4 := &layers.IPv4{
			Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(),
		}
		ip = v4
		if err := tcp.SetNetworkLayerForChecksum(v4); err != nil {
			return nil, err
		}
	} else {
		v6 := &layers.IPv6{
			Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(),
		}
		ip = v6
		if err := tcp.SetNetworkLayerForChecksum(v6); err != nil {
			return nil, err
		}
	}
	buffer := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp)
	return buffer.Bytes(), err
}
