package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"drover/internal/lab"
)

// icmpOf is what differs between the families.
var icmpOf = map[lab.Family]struct {
	network      string
	protocol     int
	echo, reply  icmp.Type
	timeExceeded icmp.Type
}{
	lab.V4: {"ip4:icmp", 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply, ipv4.ICMPTypeTimeExceeded},
	lab.V6: {"ip6:ipv6-icmp", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, ipv6.ICMPTypeTimeExceeded},
}

// TestRefused: a service without servers refuses its clients.
func TestRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{})
	for _, row := range []struct {
		network, option string
		port            uint16
		family          lab.Family
		most            time.Duration
	}{
		{"udp", "-u", echoPort, lab.V4, 200 * time.Millisecond},
		{"udp", "-u", echoPort, lab.V6, 200 * time.Millisecond},
		{"tcp", "-t", httpPort, lab.V4, 200 * time.Millisecond},
		// A client may believe an ICMPv6 error only when it answers its second SYN, a second later.
		{"tcp", "-t", httpPort, lab.V6, 2 * time.Second},
	} {
		t.Run(fmt.Sprintf("%s %s", row.network, row.family), func(t *testing.T) {
			c.ipvsadm("-A " + row.option + " " + c.vip(row.family, row.port))
			before := c.counter("answer", "unreachable")
			begin := time.Now()
			err := c.knock(row.network, c.vip(row.family, row.port))
			took := time.Since(begin)
			if !errors.Is(err, syscall.ECONNREFUSED) || took > row.most {
				t.Errorf("%v after %v, want a refused connection within %v", err, took, row.most)
			}
			answers := c.counter("answer", "unreachable") - before
			if answers == 0 {
				t.Error("the data path has not answered: the host did")
			}
			t.Logf("refused after %v, by %d answers", took.Round(100*time.Microsecond), answers)
		})
	}
}

// knock connects, and over UDP sends something and waits for what becomes of it.
func (c *cluster) knock(network, address string) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
	defer cancel()
	conn, err := c.dial(ctx, network, address)
	if err != nil || network == "tcp" {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("anybody there?")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 100))
	return err
}

// TestTraceroute sends datagrams with 1, 2 and 3 hops to live. The router answers for the first, the
// director for the second, from the VIP, and the third arrives: a hop is taken off, not two.
func TestTraceroute(t *testing.T) {
	t.Parallel()
	for _, mode := range []lab.Mode{lab.DR, lab.NAT} {
		t.Run(string(mode), func(t *testing.T) {
			c := newCluster(t, lab.Config{Mode: mode})
			for _, f := range families {
				c.ipvsadm("-A -u " + c.vip(f, echoPort))
				c.ipvsadm("-a -u " + c.vip(f, echoPort) + " -r " + c.rip("rs1", f, echoPort) + " " + c.how())
				var hops []string
				for ttl := 1; ttl <= 3; ttl++ {
					hop, err := c.probe(f, ttl)
					if err != nil {
						t.Fatalf("%s, TTL %d: %v", f, ttl, err)
					}
					hops = append(hops, hop)
				}
				want := []string{c.Topology.Addr(lab.Gate, f).String(), c.Topology.VIP(f).String(), "rs1 probe"}
				check(t, "hops", want, hops)
				t.Logf("%s: %q", f, hops)
			}
		})
	}
}

// probe sends a datagram and gives the sender of "time exceeded", or what the server answered.
func (c *cluster) probe(f lab.Family, ttl int) (string, error) {
	deadline := time.Now().Add(3 * time.Second)
	listener, err := c.listenICMP(f, deadline)
	if err != nil {
		return "", err
	}
	defer listener.Close()
	conn, err := c.dial(c.t.Context(), "udp", c.vip(f, echoPort))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if f == lab.V4 {
		err = ipv4.NewConn(conn).SetTTL(ttl)
	} else {
		err = ipv6.NewConn(conn).SetHopLimit(ttl)
	}
	if err := errors.Join(err, conn.SetDeadline(deadline)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("probe")); err != nil {
		return "", err
	}
	answered := make(chan string, 1)
	go func() {
		answer := make([]byte, 100)
		n, err := conn.Read(answer)
		if err == nil {
			answered <- string(answer[:n])
			listener.Close()
		}
	}()
	from, _, err := await(listener, f, icmpOf[f].timeExceeded)
	select {
	case answer := <-answered:
		return answer, nil
	default:
		return from, err
	}
}

// TestPing: the VIP answers pings, and it is the director's host that does.
func TestPing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{})
	for _, f := range families {
		c.balance(f, lab.Servers...)
		before := c.counter("pass", "protocol")
		socket, err := c.listenICMP(f, time.Now().Add(3*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		vip := c.Topology.VIP(f)
		sent := &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1, Data: []byte("ping")}
		request, err := (&icmp.Message{Type: icmpOf[f].echo, Body: sent}).Marshal(nil)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := socket.WriteTo(request, &net.IPAddr{IP: vip.AsSlice()}); err != nil {
			t.Fatal(err)
		}
		from, reply, err := await(socket, f, icmpOf[f].reply)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		took := time.Since(begin)
		check(t, "sender", vip.String(), from)
		check(t, "echo", icmp.MessageBody(sent), reply)
		if c.counter("pass", "protocol") == before {
			t.Errorf("%s: the data path has passed no echo to the host", f)
		}
		t.Logf("%s: %s answered after %v", f, from, took.Round(10*time.Microsecond))
	}
}

// listenICMP opens a raw socket on the client.
func (c *cluster) listenICMP(f lab.Family, deadline time.Time) (*icmp.PacketConn, error) {
	var conn *icmp.PacketConn
	err := c.Do(lab.Client, func() (err error) {
		conn, err = icmp.ListenPacket(icmpOf[f].network, c.Topology.Addr(lab.Client, f).String())
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(deadline)
}

// await reads messages until one of that type comes: its sender and body.
func await(conn *icmp.PacketConn, f lab.Family, wanted icmp.Type) (from string, body icmp.MessageBody, err error) {
	buffer := make([]byte, 1500)
	for {
		n, peer, err := conn.ReadFrom(buffer)
		if err != nil {
			return "", nil, err
		}
		message, err := icmp.ParseMessage(icmpOf[f].protocol, buffer[:n])
		if err == nil && message.Type == wanted {
			return peer.String(), message.Body, nil
		}
	}
}
