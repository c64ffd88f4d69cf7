package checker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// pingAsker is PING_CHECK: an echo request (RFC 792; RFC 4443, Section 4), from a raw socket.
type pingAsker struct {
	check    *Check
	sequence int
}

func (a *pingAsker) ask(ctx context.Context) (int, bool, error) {
	network, protocol := "ip4:icmp", 1
	var request, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if a.check.Addr.Addr().Is6() {
		network, protocol = "ip6:ipv6-icmp", 58
		request, reply = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	d := net.Dialer{Control: a.check.control}
	if a.check.Bind.IsValid() {
		d.LocalAddr = &net.IPAddr{IP: a.check.Bind.Addr().AsSlice()}
	}
	conn, err := d.DialContext(ctx, network, a.check.Addr.Addr().String())
	if err != nil {
		return 0, false, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	a.sequence++
	echo := &icmp.Echo{ID: int(rand.N(1 << 16)), Seq: a.sequence & 0xffff, Data: []byte("drover")}
	packet, err := (&icmp.Message{Type: request, Body: echo}).Marshal(nil)
	if err != nil {
		return 0, false, err
	}
	if err := conn.SetDeadline(time.Now().Add(a.check.Timing.Timeout)); err != nil {
		return 0, false, err
	}
	if _, err := conn.Write(packet); err != nil {
		return 0, false, a.check.explain(err)
	}
	return 0, false, a.await(conn.(*net.IPConn), protocol, reply, echo)
}

// await waits for the reply to an echo. Others come by as well: the socket gets all ICMP of its peer.
func (a *pingAsker) await(conn *net.IPConn, protocol int, reply icmp.Type, echo *icmp.Echo) error {
	buffer := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buffer)
		if err != nil {
			return a.check.explain(err)
		}
		message, err := icmp.ParseMessage(protocol, buffer[:n])
		if err != nil {
			continue
		}
		if got, ok := message.Body.(*icmp.Echo); ok && message.Type == reply && got.ID == echo.ID && got.Seq == echo.Seq {
			return nil
		}
		if _, ok := message.Body.(*icmp.DstUnreach); ok {
			return fmt.Errorf("%v, code %d", message.Type, message.Code)
		}
	}
}
