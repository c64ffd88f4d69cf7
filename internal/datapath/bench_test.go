//go:build bench

package datapath

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"drover/internal/lvs"
)

// The bench measures nanoseconds per packet, by BPF_PROG_TEST_RUN with many repeats, as ratios to the
// floor: a program that returns XDP_TX and nothing else. Packets are made by a program in front, whose
// own cost is measured with the floor behind it, and taken off.

const (
	benchRounds  = 15
	benchPackets = 4_000_000 // so many that a run is long beside a tick of the scheduler
)

// A benchCase is one row of the table.
type benchCase struct {
	name     string
	limit    float64 // ratio that the design asks for; 0: none
	services int
	servers  int
	flows    uint32
	forward  lvs.Forwarding
	sched    string
	fresh    bool // every packet is a connection's first
}

var benchCases = []benchCase{
	{name: "DR, 1 flow", limit: 2.5, services: 1, servers: 4, flows: 1, forward: lvs.DirectRoute, sched: "rr"},
	{name: "DR, 1 flow, 10,000 services", services: 10_000, servers: 4, flows: 1, forward: lvs.DirectRoute, sched: "rr"},
	{name: "NAT, 1 flow", limit: 2.9, services: 1, servers: 4, flows: 1, forward: lvs.Masquerade, sched: "rr"},
	{name: "DR, 100,000 flows", limit: 8, services: 1, servers: 4, flows: 100_000, forward: lvs.DirectRoute, sched: "rr"},
	{name: "NAT, 100,000 flows", services: 1, servers: 4, flows: 100_000, forward: lvs.Masquerade, sched: "rr"},
	{name: "new DR, rr, 4 servers", services: 1, servers: 4, flows: 700_000, forward: lvs.DirectRoute, sched: "rr", fresh: true},
	{name: "new NAT, rr, 4 servers", services: 1, servers: 4, flows: 700_000, forward: lvs.Masquerade, sched: "rr", fresh: true},
	{name: "new DR, wlc, 100 servers", limit: 20, services: 1, servers: 100, flows: 700_000, forward: lvs.DirectRoute, sched: "wlc", fresh: true},
}

// TestBench prints the table. It fails on nothing but an error: speed is for people to judge.
func TestBench(t *testing.T) {
	floors, ratios := map[string][]float64{}, map[string][]float64{}
	var memory string
	for _, c := range benchCases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c)
			defer b.close()
			for range benchRounds {
				floor := b.run(b.programs.BenchFloor, benchPackets)
				total, made := b.round()
				floors[c.name] = append(floors[c.name], floor)
				ratios[c.name] = append(ratios[c.name], (total-made+floor)/floor)
			}
			memory = b.memoryPerConnection()
		})
	}
	fmt.Fprintf(os.Stdout, "\n%-30s %10s %28s %8s\n", "case", "floor ns", "times the floor (min..max)", "reach")
	for _, c := range benchCases {
		reach := ""
		if c.limit > 0 {
			reach = fmt.Sprintf("<= %.1f", c.limit)
		}
		r := ratios[c.name]
		fmt.Fprintf(os.Stdout, "%-30s %10.1f %10.2f  (%5.2f .. %5.2f) %10s\n", c.name, median(floors[c.name]),
			median(r), slices.Min(r), slices.Max(r), reach)
	}
	fmt.Fprintf(os.Stdout, "memory per connection of capacity: %s (reach: <= 110 B)\n", memory)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

type bench struct {
	*rig
	benchCase
	programs benchObjects
	entry    *ebpf.Program
}

func newBench(t *testing.T, c benchCase) *bench {
	t.Helper()
	b := &bench{rig: newRig(t, DefaultConnections), benchCase: c}
	pinToCPU(t, 0)
	must(t, loadBenchObjects(&b.programs, nil))
	b.entry = b.objects.DroverXdp
	for i := range c.services {
		b.addService(i)
	}
	if !c.fresh {
		b.target(b.entry)
		b.flowsOf(tcpSYN)
		b.run(b.programs.BenchFlow, int(c.flows))
		b.flowsOf(tcpACK)
		b.run(b.programs.BenchFlow, 2*int(c.flows)) // established, next hops known
	}
	return b
}

func (b *bench) close() { must2(b.t, b.programs.Close()) }

func must2(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func benchVIP(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i%100)}), uint16(80+i/100))
}

func (b *bench) addService(i int) {
	b.t.Helper()
	key := lvs.ServiceKey{Protocol: lvs.TCP, Addr: benchVIP(i), Family: lvs.IPv4}
	must2(b.t, b.table.AddService(lvs.Service{ServiceKey: key, Scheduler: b.sched}))
	for host := range b.servers {
		server := netip.AddrFrom4([4]byte{198, 51, 100, byte(2 + host)})
		must2(b.t, b.table.AddDestination(key, lvs.Destination{
			Addr: netip.AddrPortFrom(server, key.Addr.Port()), Forwarding: b.forward, Weight: 1,
		}))
	}
}

const (
	tcpSYN = 0x02
	tcpACK = 0x10
)

// flowsOf sets what the program in front makes: packets of the case's flows with these TCP flags.
func (b *bench) flowsOf(flags byte) {
	b.t.Helper()
	f := benchFlows{Count: b.flows, Stride: stride(b.flows), Source: 0xcb00710a, TcpFlags: flags}
	h := b.frame()
	f.Macs = [2]uint64{binary.NativeEndian.Uint64(h), uint64(binary.NativeEndian.Uint32(h[8:]))}
	f.Destination = binary.NativeEndian.Uint32(h[30:])
	f.Port = binary.NativeEndian.Uint16(h[36:])
	must2(b.t, b.programs.BenchFlows.Put(uint32(0), f))
}

// frame is a TCP segment to the first service; the program in front fills the rest in.
func (b *bench) frame() []byte {
	h := make([]byte, 60)
	copy(h, frontMAC)
	copy(h[6:], routerMAC)
	binary.BigEndian.PutUint16(h[12:], 0x0800)
	h[14] = 0x45
	binary.BigEndian.PutUint16(h[16:], 40)
	h[22], h[23] = 64, 6
	copy(h[30:], []byte{192, 0, 2, 100})
	binary.BigEndian.PutUint16(h[36:], 80)
	h[46] = 0x50
	return h
}

// stride makes flows take turns in an order that is not that of their entries.
func stride(n uint32) uint32 {
	if n == 1 {
		return 0
	}
	s := uint32(uint64(n) * 618 / 1000)
	for gcd(s, n) != 1 {
		s++
	}
	return s
}

func gcd(a, b uint32) uint32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func (b *bench) target(p *ebpf.Program) { must2(b.t, b.programs.BenchTarget.Put(uint32(0), p)) }

// run gives nanoseconds per packet.
func (b *bench) run(p *ebpf.Program, packets int) float64 {
	b.t.Helper()
	frame := b.frame()
	begin := time.Now()
	_, err := p.Run(&ebpf.RunOptions{
		Data: frame, Repeat: uint32(packets),
		Context: xdpContext{DataEnd: uint32(len(frame)), IngressIfindex: uint32(b.front)},
	})
	must2(b.t, err)
	return float64(time.Since(begin).Nanoseconds()) / float64(packets)
}

// round gives what a packet costs through the program in front, with Drover behind it and with the
// floor behind it.
func (b *bench) round() (total, made float64) {
	packets := benchPackets
	flags := byte(tcpACK)
	if b.fresh {
		b.forgetConnections()
		packets, flags = int(b.flows), tcpSYN
	}
	b.flowsOf(flags)
	b.target(b.programs.BenchFloor)
	made = b.run(b.programs.BenchFlow, packets)
	b.flowsOf(flags)
	b.target(b.entry)
	total = b.run(b.programs.BenchFlow, packets)
	b.check()
	return total, made
}

// check sees that what was measured was forwarding.
func (b *bench) check() {
	b.t.Helper()
	for name, n := range b.outcomes() {
		if !strings.HasPrefix(name, "forward ") {
			b.t.Fatalf("%s: %s: %d packets", b.name, name, n)
		}
	}
}

// forgetConnections lets the time of every connection run out.
func (b *bench) forgetConnections() {
	b.t.Helper()
	for turns := 0; turns < 20_000; turns++ {
		b.turn(2_000)
		pool := must3(mapArray[directorPool](b.objects.Pool))
		live := pool.at(0).Live
		must2(b.t, pool.close())
		if live == 0 {
			return
		}
	}
	b.t.Fatal("connections do not expire")
}

func must3[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (b *bench) memoryPerConnection() string {
	var bytes uint64
	for _, m := range []*ebpf.Map{b.objects.Conns, b.objects.Buckets} {
		info, err := m.Info()
		must2(b.t, err)
		memory, _ := info.Memlock()
		bytes += memory
	}
	return fmt.Sprintf("%.1f B", float64(bytes)/float64(capacity(b.objects.Conns)))
}
