package system

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/mdlayher/packet"

	"drover/internal/lab"
)

const largeDatagram = 4096 // bytes: three fragments of a link with an MTU of 1500

// TestFragments: large datagrams over links of 1500 bytes are answered, all of them: a thousand in order, as the
// client's kernel sends them, and a thousand with the last fragment first.
func TestFragments(t *testing.T) {
	t.Parallel()
	inModes(t, func(c *cluster) {
		for _, f := range families {
			c.balanceEcho(f, "rs1", "rs2", "rs3")
			if c.Config.Mode == lab.TUN {
				c.narrowEcho(f)
			}
			for range 3 { // so that the way to each server is known
				eventually(c.t, 5*time.Second, func() string {
					if _, err := c.echo(f, "small"); err != nil {
						return err.Error()
					}
					return ""
				})
			}
			held := c.counter("hold", "fragment")
			c.echoInOrder(f, 1000)
			c.echoReversed(f, 1000)
			if n := c.counter("hold", "fragment") - held; n < 2000 {
				c.t.Errorf("%d fragments were held, want two of each datagram that was reversed", n)
			}
		}
	})
}

// narrowEcho makes the client's fragments so small that a tunnel takes them.
func (c *cluster) narrowEcho(f lab.Family) {
	c.t.Helper()
	for _, gate := range c.portOn(lab.Gate, c.port(lab.Client).Network).Addrs {
		if gate.Addr().Is6() == (f == lab.V6) {
			vip := c.Topology.VIP(f)
			c.run(lab.Client, fmt.Sprintf("ip route replace %s/%d via %s mtu lock 1400", vip, vip.BitLen(), gate.Addr()))
		}
	}
}

// echoSocket is a socket of the client's for large datagrams of the VIP.
func (c *cluster) echoSocket(f lab.Family) *net.UDPConn {
	c.t.Helper()
	conn, err := c.dial(c.t.Context(), "udp", c.vip(f, echoPort))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn.(*net.UDPConn)
}

// wantEcho reads the answer to a datagram, "rsN " and the same bytes.
func (c *cluster) wantEcho(f lab.Family, conn *net.UDPConn, i int, want []byte) (ok bool) {
	c.t.Helper()
	answer := make([]byte, 2*largeDatagram)
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	n, err := conn.Read(answer)
	if err != nil || !bytes.HasSuffix(answer[:n], want) {
		c.t.Errorf("%s: datagram %d: %d bytes, %v; %v", f, i, n, err, c.run(lab.Director, "drover incident"))
		return false
	}
	return true
}

func (c *cluster) echoInOrder(f lab.Family, n int) {
	c.t.Helper()
	conn := c.echoSocket(f)
	for i := range n {
		sent := fmt.Appendf(bytes.Repeat([]byte("x"), largeDatagram-8), "%8d", i)
		if _, err := conn.Write(sent); err != nil {
			c.t.Fatal(err)
		}
		if !c.wantEcho(f, conn, i, sent) {
			return
		}
	}
}

func (c *cluster) echoReversed(f lab.Family, n int) {
	c.t.Helper()
	conn, raw := c.echoSocket(f), c.rawSocket(lab.Client)
	defer raw.Close()
	from := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	to := conn.RemoteAddr().(*net.UDPAddr).AddrPort()
	for i := range n {
		sent := fmt.Appendf(bytes.Repeat([]byte("y"), largeDatagram-8), "%8d", i)
		frames, err := c.fragments(from, to, uint32(0x4000+i), sent, 1304)
		if err != nil {
			c.t.Fatal(err)
		}
		for j := len(frames) - 1; j >= 0; j-- {
			if _, err := raw.WriteTo(frames[j], &packet.Addr{HardwareAddr: frames[j][:6]}); err != nil {
				c.t.Fatal(err)
			}
		}
		if !c.wantEcho(f, conn, i, sent) {
			return
		}
	}
}

// fragments gives the frames of a datagram from the client to the router, in order, with up to size bytes of it in each.
func (c *cluster) fragments(from, to netip.AddrPort, id uint32, payload []byte, size int) ([][]byte, error) {
	gate := c.portOn(lab.Gate, c.port(lab.Client).Network)
	ethernet := &layers.Ethernet{
		SrcMAC: net.HardwareAddr(c.port(lab.Client).MAC), DstMAC: net.HardwareAddr(gate.MAC), EthernetType: layers.EthernetTypeIPv4,
	}
	v4 := &layers.IPv4{
		Version: 4, TTL: 64, Id: uint16(id), Protocol: layers.IPProtocolUDP,
		SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(),
	}
	v6 := &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolIPv6Fragment,
		SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(),
	}
	var ip gopacket.NetworkLayer = v4
	if from.Addr().Is6() {
		ip, ethernet.EthernetType = v6, layers.EthernetTypeIPv6
	}
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	whole := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(whole, options, udp, gopacket.Payload(payload)); err != nil {
		return nil, err
	}
	var frames [][]byte
	for at := 0; at < len(whole.Bytes()); at += size {
		part := whole.Bytes()[at:min(at+size, len(whole.Bytes()))]
		more := at+size < len(whole.Bytes())
		buffer := gopacket.NewSerializeBuffer()
		var err error
		if from.Addr().Is6() {
			header := &layers.IPv6Fragment{NextHeader: layers.IPProtocolUDP, FragmentOffset: uint16(at / 8), MoreFragments: more, Identification: id}
			err = gopacket.SerializeLayers(buffer, options, ethernet, v6, fragmentHeader(header), gopacket.Payload(part))
		} else {
			v4.FragOffset, v4.Flags = uint16(at/8), 0
			if more {
				v4.Flags = layers.IPv4MoreFragments
			}
			err = gopacket.SerializeLayers(buffer, options, ethernet, v4, gopacket.Payload(part))
		}
		if err != nil {
			return nil, err
		}
		frames = append(frames, bytes.Clone(buffer.Bytes()))
	}
	return frames, nil
}

// fragmentHeader writes the header (RFC 8200, Section 4.5), which the library only reads.
func fragmentHeader(h *layers.IPv6Fragment) gopacket.Payload {
	offset := h.FragmentOffset << 3
	if h.MoreFragments {
		offset |= 1
	}
	b := []byte{byte(h.NextHeader), 0, byte(offset >> 8), byte(offset)}
	return append(b, byte(h.Identification>>24), byte(h.Identification>>16), byte(h.Identification>>8), byte(h.Identification))
}

// portOn is a node's interface on a network.
func (c *cluster) portOn(node, network string) lab.Port {
	c.t.Helper()
	for _, p := range c.Topology.Ports {
		if p.Node == node && p.Network == network {
			return p
		}
	}
	c.t.Fatalf("%s has no interface on %s", node, network)
	return lab.Port{}
}
