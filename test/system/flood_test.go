package system

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mdlayher/packet"

	"drover/internal/lab"
)

const (
	floodTime     = 30 * time.Second
	floodCapacity = 1 << 16 // connections: few, so that the flood fills its share within seconds
)

// TestFlood: SYNs of forged clients as fast as one thread makes them, for half a minute. None of a thousand
// established connections is lost, new ones are served meanwhile, and half-open ones keep to their share of the
// table. It runs alone.
func TestFlood(t *testing.T) {
	c := newCluster(t, lab.Config{Mode: lab.DR, Family: lab.V4})
	f := lab.V4
	c.run(lab.Director, fmt.Sprintf("drover datapath load --connections %d", floodCapacity))
	c.balance(f, "rs1", "rs2", "rs3")
	sessions := c.openAll(f, 1000)
	memory := c.status().MemoryBytes
	stop, sent := c.flood(f)
	served, begin := 0, time.Now()
	for time.Since(begin) < floodTime {
		if _, _, err := c.ask("GET", c.url(f, "/"), nil); err != nil {
			t.Errorf("a new connection, %v after the flood began: %v", time.Since(begin).Round(time.Second), err)
			break
		}
		served++
		if s := sessions[served%len(sessions)]; served%10 == 0 {
			if err := s.post(10); err != nil {
				t.Errorf("an established connection, in the flood: %v", err)
				break
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	status := c.status()
	halfOpen := strings.Count(c.run(lab.Director, "ipvsadm -Lnc"), " SYN_RECV ") // they stay for a minute
	lost := 0
	for _, s := range sessions {
		if err := s.post(10); err != nil {
			lost++
		}
	}
	t.Logf("%d SYNs in %v; %d new connections served; %d of %d entries in use, %d half-open", sent.Load(), floodTime, served,
		status.Connections, status.Capacity, halfOpen)
	if lost > 0 || served < 100 {
		t.Errorf("%d of 1000 established connections lost, %d new ones served", lost, served)
	}
	// An entry that gave its place to another rests for seconds, and is in use until then: none does so where less
	// than a quarter is free (has_spare in bpf/half_open.h).
	if used := uint64(status.Connections); used > uint64(status.Capacity)*3/4 || status.MemoryBytes != memory {
		t.Errorf("%d of %d entries in use, memory %d, before %d", used, status.Capacity, status.MemoryBytes, memory)
	}
	if halfOpen > floodCapacity/2+runtime.NumCPU() { // of CPUs that ask at once each may add one
		t.Errorf("%d half-open connections, want at most half of %d", halfOpen, floodCapacity)
	}
	if c.counter("forward", "stateless") == 0 {
		t.Error("the table was never at its limit: nothing was tested")
	}
}

// flood sends as fast as it can until stop is called.
func (c *cluster) flood(f lab.Family) (stop func(), sent *atomic.Int64) { return c.steady(f, 0) }

// steady sends SYNs of forged clients, so many a second or, with 0, as fast as it can, until stop is called.
func (c *cluster) steady(f lab.Family, rate int) (stop func(), sent *atomic.Int64) {
	c.t.Helper()
	raw := c.rawSocket(lab.Client)
	from, to := c.Topology.Addr(lab.Client, f), c.Topology.VIP(f)
	gate := net.HardwareAddr(c.portOn(lab.Gate, c.port(lab.Client).Network).MAC)
	frame := synFrame(net.HardwareAddr(c.port(lab.Client).MAC), gate, from.As4(), to.As4(), 80)
	done := make(chan struct{})
	finished := make(chan error, 1)
	sent = &atomic.Int64{}
	go func() {
		random := rand.New(rand.NewPCG(1, 2))
		begin := time.Now()
		for {
			if due := time.Duration(sent.Load()) * time.Second; rate > 0 {
				time.Sleep(due/time.Duration(rate) - time.Since(begin))
			}
			select {
			case <-done:
				finished <- raw.Close()
				return
			default:
			}
			for range 64 {
				forge(frame, byte(11+random.IntN(200)), uint16(1024+random.IntN(64000)))
				if _, err := raw.WriteTo(frame, &packet.Addr{HardwareAddr: gate}); err == nil {
					sent.Add(1)
				}
			}
		}
	}()
	return func() {
		close(done)
		if err := <-finished; err != nil {
			c.t.Error(err)
		}
	}, sent
}

// synFrame is a SYN without checksums; forge fills them in.
func synFrame(source, destination net.HardwareAddr, from, to [4]byte, port uint16) []byte {
	frame := make([]byte, 60)
	copy(frame, destination)
	copy(frame[6:], source)
	binary.BigEndian.PutUint16(frame[12:], 0x0800)
	frame[14], frame[22], frame[23] = 0x45, 64, 6
	binary.BigEndian.PutUint16(frame[16:], 40)
	copy(frame[26:], from[:])
	copy(frame[30:], to[:])
	binary.BigEndian.PutUint16(frame[36:], port)
	frame[46], frame[47] = 0x50, 0x02
	binary.BigEndian.PutUint16(frame[48:], 65535)
	return frame
}

// forge gives a SYN another client.
func forge(frame []byte, host byte, port uint16) {
	frame[29] = host
	binary.BigEndian.PutUint16(frame[34:], port)
	clear(frame[24:26])
	clear(frame[50:52])
	binary.BigEndian.PutUint16(frame[24:], ^checksum(0, frame[14:34]))
	binary.BigEndian.PutUint16(frame[50:], ^checksum(6+20, frame[26:54])) // protocol and length of the pseudo header
}

// checksum adds up 16-bit words (RFC 1071).
func checksum(sum uint32, b []byte) uint16 {
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
