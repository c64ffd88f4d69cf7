package datapath

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"drover/internal/lvs"
)

// resetOf makes the RST that answers a packet, as its sender must get it.
func resetOf(t *testing.T, s ipPacket) []byte {
	t.Helper()
	in := s.transport(t)
	tcp := &layers.TCP{SrcPort: layers.TCPPort(s.to.Port()), DstPort: layers.TCPPort(s.from.Port()), RST: true}
	sequence, acknowledged := binary.BigEndian.Uint32(in[4:]), binary.BigEndian.Uint32(in[8:])
	switch flags := in[13]; {
	case flags&0x10 != 0:
		tcp.Seq = acknowledged
	default:
		tcp.ACK, tcp.Ack = true, sequence+uint32(len(s.payload))
		for _, bit := range []byte{0x01, 0x02} { // FIN and SYN take a number each
			if flags&bit != 0 {
				tcp.Ack++
			}
		}
	}
	var ip gopacket.SerializableLayer
	if s.from.Addr().Is4() {
		v4 := &layers.IPv4{
			Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolTCP,
			SrcIP: s.to.Addr().AsSlice(), DstIP: s.from.Addr().AsSlice(),
		}
		check(t, tcp.SetNetworkLayerForChecksum(v4))
		ip = v4
	} else {
		v6 := &layers.IPv6{
			Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP,
			SrcIP: s.to.Addr().AsSlice(), DstIP: s.from.Addr().AsSlice(),
		}
		check(t, tcp.SetNetworkLayerForChecksum(v6))
		ip = v6
	}
	return append(ethernet(s.destination, s.source, s.from.Addr()), serialized(t, ip, tcp)...)
}

// TestReset: the next packet of a connection that is to be ended comes back as RST, from the client and, with
// NAT, from the server; the client's own RST goes on to the server, and the connection is over.
func TestReset(t *testing.T) {
	for _, fam := range families {
		for forwarding, port := range forwardings {
			t.Run(fam.name+" "+forwarding.String(), func(t *testing.T) {
				r := newScene(t)
				key := fam.service(lvs.TCP, port)
				server := fam.destination(port, forwarding, 1).Addr
				if forwarding == lvs.Masquerade {
					server = fam.destination(serverPort, forwarding, 1).Addr
				}
				syn := fam.request(lvs.TCP, port)
				established := syn
				established.flags = "A"
				r.receive(r.front, syn.frame(t))
				r.receive(r.front, established.frame(t))
				ended, err := r.table.Reset(key, server)
				if must(t, err); len(ended) != 1 {
					t.Fatalf("reset %v, want one connection", ended)
				}
				for _, flags := range []string{"A", "FA", "F"} {
					packet := syn
					packet.flags = flags
					r.wants("the client's "+flags, r.front, packet.frame(t), xdpRedirect, resetOf(t, packet))
				}
				if forwarding == lvs.Masquerade {
					reply := fam.reply(lvs.TCP)
					r.wants("the server's", r.back, reply.frame(t), xdpRedirect, resetOf(t, reply))
				}
				own := syn
				own.flags = "R"
				r.wants("the client's own RST", r.front, own.frame(t), xdpRedirect, fam.toServer(own, forwarding).frame(t))
				if going, err := r.table.GoingOn(key, server); err != nil || len(going) != 0 {
					t.Errorf("%v go on, %v: want none", going, err)
				}
			})
		}
	}
}

// TestResetHalfOpen: a SYN that comes again is answered, and nothing is left.
func TestResetHalfOpen(t *testing.T) {
	r := newScene(t)
	fam := families[0]
	syn := fam.request(lvs.TCP, routePort)
	r.receive(r.front, syn.frame(t))
	_, err := r.table.Reset(fam.service(lvs.TCP, routePort), fam.destination(routePort, lvs.DirectRoute, 1).Addr)
	must(t, err)
	r.wants("the SYN again", r.front, syn.frame(t), xdpRedirect, resetOf(t, syn))
	if all, err := r.table.Connections(); err != nil || len(all) != 0 {
		t.Errorf("connections %v, %v: want none", all, err)
	}
}

// TestResetUDP: a datagram of a connection that is to be ended is scheduled anew.
func TestResetUDP(t *testing.T) {
	r := newScene(t)
	fam := families[0]
	key, server := fam.service(lvs.UDP, routePort), fam.destination(routePort, lvs.DirectRoute, 1)
	datagram := fam.request(lvs.UDP, routePort)
	r.receive(r.front, datagram.frame(t))
	other := server
	other.Addr = realServer(7, lvs.IPv4)
	_, err := r.table.Reset(key, server.Addr)
	must(t, err)
	server.Weight = 0
	must(t, r.table.EditDestination(key, server))
	other.Addr = netip.AddrPortFrom(other.Addr.Addr(), routePort)
	must(t, r.table.AddDestination(key, other))
	mac := serverMAC(other.Addr.Addr().As4()[3])
	r.wants("the next datagram", r.front, datagram.frame(t), xdpRedirect, datagram.sent(backMAC, mac).frame(t))
}

// TestGoingOn: what somebody still uses, by state.
func TestGoingOn(t *testing.T) {
	for _, test := range []struct {
		name       string
		forwarding lvs.Forwarding
		flags      []string
		want       int
	}{
		{"half-open", lvs.DirectRoute, []string{"S"}, 1},
		{"established", lvs.DirectRoute, []string{"S", "A"}, 1},
		{"closed by the client, whose packets alone are seen", lvs.DirectRoute, []string{"S", "A", "FA"}, 0},
		{"closed by the client, NAT", lvs.Masquerade, []string{"S", "A", "FA"}, 1},
		{"reset", lvs.DirectRoute, []string{"S", "A", "R"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newScene(t)
			fam, port := families[0], forwardings[test.forwarding]
			for _, flags := range test.flags {
				packet := fam.request(lvs.TCP, port)
				packet.flags = flags
				r.receive(r.front, packet.frame(t))
			}
			server := fam.destination(port, test.forwarding, 1).Addr
			if test.forwarding == lvs.Masquerade {
				server = fam.destination(serverPort, test.forwarding, 1).Addr
			}
			going, err := r.table.GoingOn(fam.service(lvs.TCP, port), server)
			if err != nil || len(going) != test.want {
				t.Errorf("%v go on, %v: want %d", going, err, test.want)
			}
		})
	}
}
