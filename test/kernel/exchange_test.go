//go:build kernel61

package kernel

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// How long to wait for frames: for any at all, and for the second director's once the first has sent. The second
// time is spent on differences alone, and a machine without KVM may stand still for longer than one thinks.
const (
	waitForAny  = 3 * time.Millisecond
	waitForBoth = 3 * time.Second
)

// exchange sends a packet to both directors and compares what comes out of them.
func (p *pair) exchange(packet *packet) error {
	for _, d := range []*director{p.kernel, p.drover} {
		d.seen = nil
		if err := d.send(packet); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(waitForBoth)
	wait := waitForAny
	for {
		for _, d := range []*director{p.kernel, p.drover} {
			if err := d.collect(); err != nil {
				return err
			}
		}
		same := texts(p.kernel.seen) == texts(p.drover.seen)
		if same && (len(p.kernel.seen) > 0 || wait == 0) || time.Now().After(deadline) {
			break
		}
		await(waitForAny, p.kernel.ports[front], p.kernel.ports[back], p.drover.ports[front], p.drover.ports[back])
		wait = 0
	}
	for _, d := range []*director{p.kernel, p.drover} {
		d.remember(packet)
	}
	if diff := cmp.Diff(lines(p.kernel.seen), lines(p.drover.seen)); diff != "" {
		return differ("frames sent on (-ip_vs +drover):\n%s", diff)
	}
	return nil
}

func lines(all []seen) []string {
	var text []string
	for _, s := range all {
		text = append(text, s.String())
	}
	return text
}

func texts(all []seen) string { return strings.Join(lines(all), "\n") }

func (p *packet) flow() string { return p.client.String() + " " + p.vip.String() + p.protocol }

// send gives the director a client's packet on its front, or the answer to the last one on its back. A server
// answers through the director only where that rewrote the address; else nothing is sent.
func (d *director) send(p *packet) error {
	if !p.answer {
		frame, err := p.frame(flow{routerMAC, frontMAC, p.client, p.vip})
		if err != nil {
			return err
		}
		return d.ports[front].send(frame)
	}
	to, there := d.delivered[p.flow()]
	if !there {
		return nil
	}
	frame, err := p.frame(flow{serverMAC(to.server), backMAC, to.address, p.client})
	if err != nil {
		return err
	}
	return d.ports[back].send(frame)
}

// remember notes where a client's packet was sent on to with another address.
func (d *director) remember(p *packet) {
	if p.answer {
		return
	}
	if d.delivered == nil {
		d.delivered = map[string]place{}
	}
	for _, s := range d.seen {
		to, err := destination(s.frame)
		if s.side == back && err == nil && to != p.vip {
			d.delivered[p.flow()] = place{s.frame[5] - serverMAC(0)[5], to}
		}
	}
}

// destination gives the address and port that a frame of TCP or UDP is for.
func destination(frame []byte) (netip.AddrPort, error) {
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if packet.NetworkLayer() == nil || packet.TransportLayer() == nil || !forwarded(packet) {
		return netip.AddrPort{}, fmt.Errorf("not a packet sent on: %x", frame)
	}
	_, address := packet.NetworkLayer().NetworkFlow().Endpoints()
	_, port := packet.TransportLayer().TransportFlow().Endpoints()
	a, _ := netip.AddrFromSlice(address.Raw())
	return netip.AddrPortFrom(a, uint16(port.Raw()[0])<<8|uint16(port.Raw()[1])), nil
}
