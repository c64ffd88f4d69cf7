package datapath

import (
	"encoding/binary"
	"testing"

	"drover/internal/lvs"
)

// surplus puts bytes behind a datagram, within its IP packet (RFC 9868, Section 5).
func (f family) surplus(frame []byte, bytes ...byte) []byte {
	frame = append(frame, bytes...)
	ip := frame[14:]
	if f.header == 40 {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
		return frame
	}
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	clear(ip[10:12])
	binary.BigEndian.PutUint16(ip[10:], ^onesSum(ip[:20]))
	return frame
}

// TestTunnelSumsSurplus: a tunnel's checksum covers what lies behind a datagram, too, which the datagram's
// own does not.
func TestTunnelSumsSurplus(t *testing.T) {
	r := newTunnelScene(t)
	r.eachTunnel(t, func(t *testing.T, p tunnelPool) {
		in := p.inner.request(lvs.UDP, p.port)
		in.payload = pattern(64)
		verdict, out := r.receive(r.front, p.inner.surplus(in.frame(t), 1, 2, 3, 4, 5, 6))
		if verdict != xdpRedirect {
			t.Fatalf("verdict %d (outcomes %v)", verdict, r.outcomes())
		}
		maskTunnel(t, out) // checks the sums
	})
}

// TestTunnelJoinedTooLong: a frame that GRO has joined to so many bytes that no outer header can say how
// many it is with the tunnel's is not sent with a length of its own invention.
func TestTunnelJoinedTooLong(t *testing.T) {
	r := newTunnelScene(t)
	var device directorDevice
	row := uint32(0)
	for entries := r.objects.Devices.Iterate(); entries.Next(&row, &device); {
		if device.Ifindex != 0 {
			device.Flags |= 2 // DEVICE_GENERIC
			must(t, r.objects.Devices.Put(row, device))
		}
	}
	p := tunnelPools()[0]
	for _, row := range []struct {
		bytes int
		want  map[string]uint64
	}{
		{65535 - p.overhead(), map[string]uint64{"forward tunnel": 1}},
		{65536 - p.overhead(), map[string]uint64{"answer too_big": 1}},
	} {
		r.counted(row.want, func() { r.receive(r.front, p.large(t, row.bytes).frame(t)) })
	}
}
