//go:build bench

package datapath

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netns"

	"drover/internal/lvs"
	"drover/test/bench/rounds"
)

// The bench measures nanoseconds per packet, by BPF_PROG_TEST_RUN with many repeats, as ratios to the
// floor: a program that returns XDP_TX and nothing else. Packets are made by a program in front, whose
// own cost is measured with the floor behind it, and taken off.

const (
	benchRounds  = 15
	benchPackets = 4_000_000 // so many that a run is long beside a tick of the scheduler
	manyServices = 100_000
	manyFlows    = 4_000_000
)

// A benchCase is one row of the table.
type benchCase struct {
	name     string
	reach    string // what the issue asks for
	services int    // 0: 1
	servers  int    // of each service; 0: 4
	flows    uint32
	capacity uint32 // of the connection table; 0: DefaultConnections
	forward  lvs.Forwarding
	sched    string // "": rr
	fresh    bool   // every packet is a connection's first
	packets  int    // of a round; of fresh ones as many as flows
	persist  bool   // the service is persistent, the connections are their clients' templates'
	rules    int    // access rules, which let all in
	spread   bool   // each flow is from an address far from the others'
}

// benchGroups have the cases that are compared with one another. Their rounds take turns, as the machine
// is slow for seconds at a time.
var benchGroups = [][]benchCase{{
	{name: "DR, 1 flow", reach: "<= 2.2", flows: 1, forward: lvs.DirectRoute},
	{name: "DR, 1 flow, 100,000 services", reach: "<= 1.2 x DR, 1 flow", services: manyServices, servers: 1, flows: 1, forward: lvs.DirectRoute},
	{name: "NAT, 1 flow", reach: "<= 2.6", flows: 1, forward: lvs.Masquerade},
	{name: "TUN, 1 flow", flows: 1, forward: lvs.Tunnel},
	{name: "DR, 100,000 flows", reach: "<= 7.5", flows: 100_000, forward: lvs.DirectRoute},
	{name: "DR, 4,000,000 flows", reach: "<= 1.5 x DR, 100,000 flows", flows: manyFlows, capacity: 4_200_000, forward: lvs.DirectRoute},
	{name: "NAT, 100,000 flows", flows: 100_000, forward: lvs.Masquerade},
}, {
	{name: "DR, 1,000 clients", flows: 1000, forward: lvs.DirectRoute, spread: true},
	{name: "DR, 1,000 clients, persistent", reach: "<= 1.1 x DR, 1,000 clients", flows: 1000, forward: lvs.DirectRoute, spread: true, persist: true},
	{name: "DR, 1,000 clients, 100,000 access rules", reach: "<= 60 ns on DR, 1,000 clients", flows: 1000, forward: lvs.DirectRoute, spread: true, rules: 100_000},
	{name: "DR, 100,000 clients", flows: 100_000, forward: lvs.DirectRoute, spread: true},
	{name: "DR, 100,000 clients, persistent", reach: "<= 1.1 x DR, 100,000 clients", flows: 100_000, forward: lvs.DirectRoute, spread: true, persist: true},
	{name: "DR, 100,000 clients, 100,000 access rules", reach: "<= 60 ns on DR, 100,000 clients", flows: 100_000, forward: lvs.DirectRoute, spread: true, rules: 100_000},
}, {
	{name: "new DR, rr, 4 servers", flows: 700_000, forward: lvs.DirectRoute, fresh: true},
	{name: "new NAT, rr, 4 servers", flows: 700_000, forward: lvs.Masquerade, fresh: true},
	{name: "new DR, wlc, 100 servers", reach: "<= 15", servers: 100, flows: 700_000, forward: lvs.DirectRoute, sched: "wlc", fresh: true},
	{name: "new DR, wlc, 1,000 servers", reach: "<= 2 x new DR, wlc, 100 servers", servers: 1_000, flows: 700_000, forward: lvs.DirectRoute, sched: "wlc", fresh: true},
}}

// TestBench prints the table. It fails on nothing but an error: speed is for people to judge.
func TestBench(t *testing.T) {
	options, err := rounds.FromEnvironment(benchRounds)
	must(t, err)
	table := &rounds.Table{
		Title:   "The data path over the floor: median (least .. most)",
		Columns: []string{"case", "floor, ns", "times the floor", "reach", "of the reach's row"},
	}
	for _, group := range benchGroups {
		t.Run(group[0].name+", ...", func(t *testing.T) { benchGroup(t, group, options, table) })
	}
	table.Note("memory per connection of capacity: %.1f bytes (reach: <= 110)", memoryPerConnection(t))
	table.Note("%d rounds; the rounds of cases that are compared take turns, and ratios are taken within a round.", options.Rounds)
	must(t, table.Print(os.Stdout))
}

// benchGroup measures the chosen cases of a group and adds their rows.
func benchGroup(t *testing.T, group []benchCase, options rounds.Options, table *rounds.Table) {
	var benches []*bench
	for _, c := range group {
		if !options.Chosen(c.name) {
			continue
		}
		c = c.complete(options)
		b, err := newBench(t, c)
		if refused := (*lvs.UnsupportedError)(nil); errors.As(err, &refused) {
			table.Note("%s: left out: %v", c.name, err)
			continue
		}
		must(t, err)
		if b.services < c.services {
			table.Note("%s: with %d, as the map of services holds %d", c.name, b.services, b.objects.Services.MaxEntries())
		}
		benches = append(benches, b)
	}
	ratios := map[string]rounds.Values{}
	floors := map[string]rounds.Values{}
	costs := map[string]rounds.Values{} // ns
	for range options.Rounds {
		for _, b := range benches {
			floor, total, made := b.round()
			floors[b.name] = append(floors[b.name], floor)
			costs[b.name] = append(costs[b.name], total-made+floor)
			ratios[b.name] = append(ratios[b.name], (total-made+floor)/floor)
		}
	}
	for _, b := range benches {
		beside := "" // the row that the reach speaks of
		if _, name, ok := strings.Cut(b.reach, " x "); ok && ratios[name] != nil {
			beside = ratios[b.name].Over(ratios[name]).Text(2)
		}
		if _, name, ok := strings.Cut(b.reach, " on "); ok && costs[name] != nil {
			beside = costs[b.name].Less(costs[name]).Text(0) + " ns"
		}
		table.Row(map[string]any{"case": b.name, "floor_ns": floors[b.name], "ratio": ratios[b.name], "reach": b.reach},
			b.name, fmt.Sprintf("%.1f", floors[b.name].Median()), ratios[b.name].Text(2), b.reach, beside)
	}
}

// complete fills in what a case leaves open, and scales it.
func (c benchCase) complete(o rounds.Options) benchCase {
	c.flows = uint32(o.Scale(int(c.flows)))
	c.packets = o.Scale(benchPackets)
	c.services, c.servers = max(1, o.Scale(c.services)), cmp.Or(c.servers, 4)
	c.capacity, c.sched = cmp.Or(c.capacity, DefaultConnections), cmp.Or(c.sched, "rr")
	return c
}

// A bench is a case with a data path and a network namespace of its own.
type bench struct {
	*rig
	benchCase
	t         *testing.T
	programs  benchObjects
	entry     *ebpf.Program
	namespace netns.NsHandle
}

// newBench makes one, its connections established unless they are to be new. The error wraps an
// *lvs.UnsupportedError if the data path has not got what the case needs.
func newBench(t *testing.T, c benchCase) (*bench, error) {
	t.Helper()
	b := &bench{rig: newRig(t, c.capacity), benchCase: c, t: t}
	pinToCPU(t, 0)
	var err error
	b.namespace, err = netns.Get()
	must(t, err)
	must(t, loadBenchObjects(&b.programs, nil))
	t.Cleanup(func() {
		must(t, b.programs.Close())
		must(t, b.namespace.Close())
	})
	b.entry = b.objects.DroverXdp
	if c.forward == lvs.Tunnel {
		b.table.hosts = newKernelNetwork() // it knows the outer header's source
	}
	if largest := int(b.objects.Services.MaxEntries()); b.services > largest {
		b.services = largest * 9 / 10
	}
	b.tune("half_open_max", "100") // no client finishes its handshake where connections are new
	allowed := manyAccessRules(c.rules)
	for i := range allowed {
		allowed[i].Deny = false
	}
	must(t, b.table.SetAccessRules(allowed))
	for i := range b.services {
		if err := b.addService(i); err != nil {
			return nil, err
		}
	}
	if !c.fresh {
		b.target(b.entry)
		b.flowsOf(tcpSYN)
		b.run(b.programs.BenchFlow, int(c.flows))
		b.flowsOf(tcpACK)
		b.run(b.programs.BenchFlow, 2*int(c.flows)) // established, next hops known
	}
	return b, nil
}

func benchVIP(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i%100)}), uint16(80+i/100))
}

// knownServers is how many servers the rig has neighbours for; more are told apart by the port.
const knownServers = 240

func (b *bench) addService(i int) error {
	key := lvs.ServiceKey{Protocol: lvs.TCP, Addr: benchVIP(i), Family: lvs.IPv4}
	service := lvs.Service{ServiceKey: key, Scheduler: b.sched}
	if b.persist {
		service.Flags, service.Timeout, service.Netmask = lvs.Persistent, 300*time.Second, netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	if err := b.table.AddService(service); err != nil {
		return err
	}
	for n := range b.servers {
		server := netip.AddrFrom4([4]byte{198, 51, 100, byte(2 + n%knownServers)})
		if err := b.table.AddDestination(key, lvs.Destination{
			Addr:       netip.AddrPortFrom(server, key.Addr.Port()+uint16(n/knownServers)),
			Forwarding: b.forward, Weight: 1,
		}); err != nil {
			return err
		}
	}
	return nil
}

const (
	tcpSYN = 0x02
	tcpACK = 0x10
)

// flowsOf sets what the program in front makes: packets of the case's flows with these TCP flags.
func (b *bench) flowsOf(flags byte) {
	b.t.Helper()
	f := benchFlows{Count: b.flows, Stride: stride(b.flows), Source: 0xcb00710a, TcpFlags: flags}
	if b.spread {
		f.Spread = 0x00013579
	}
	h := b.frame()
	f.Macs = [2]uint64{binary.NativeEndian.Uint64(h), uint64(binary.NativeEndian.Uint32(h[8:]))}
	f.Destination = binary.NativeEndian.Uint32(h[30:])
	f.Port = binary.NativeEndian.Uint16(h[36:])
	must(b.t, b.programs.BenchFlows.Put(uint32(0), f))
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

func (b *bench) target(p *ebpf.Program) { must(b.t, b.programs.BenchTarget.Put(uint32(0), p)) }

// run gives nanoseconds per packet.
func (b *bench) run(p *ebpf.Program, packets int) float64 {
	b.t.Helper()
	frame := b.frame()
	begin := time.Now()
	_, err := p.Run(&ebpf.RunOptions{
		Data: frame, Repeat: uint32(packets),
		Context: xdpContext{DataEnd: uint32(len(frame)), IngressIfindex: uint32(b.front)},
	})
	must(b.t, err)
	return float64(time.Since(begin).Nanoseconds()) / float64(packets)
}

// round gives what a packet costs, in ns: the floor, and the program in front with Drover behind it and
// with the floor behind it.
func (b *bench) round() (floor, total, made float64) {
	b.t.Helper()
	must(b.t, netns.Set(b.namespace))
	packets, flags := b.packets, byte(tcpACK)
	if b.fresh {
		b.forgetConnections()
		packets, flags = int(b.flows), tcpSYN
	}
	floor = b.run(b.programs.BenchFloor, b.packets)
	b.flowsOf(flags)
	b.target(b.programs.BenchFloor)
	made = b.run(b.programs.BenchFlow, packets)
	b.flowsOf(flags)
	b.target(b.entry)
	total = b.run(b.programs.BenchFlow, packets)
	b.check()
	return floor, total, made
}

// check sees that what was measured was forwarding. By chance a home or two of a million get full, and a
// half-open connection gives way there; one packet in a hundred thousand may tell of that.
func (b *bench) check() {
	b.t.Helper()
	for name, n := range b.outcomes() {
		if !strings.HasPrefix(name, "forward ") && n > uint64(b.packets/100_000) {
			b.t.Fatalf("%s: %s: %d packets", b.name, name, n)
		}
	}
}

// forgetConnections lets the time of every connection run out.
func (b *bench) forgetConnections() {
	b.t.Helper()
	for turns := 0; turns < 20_000; turns++ {
		b.turn(2_000)
		if b.live() == 0 {
			return
		}
	}
	b.t.Fatal("connections do not expire")
}

// live is the number of entries in use.
func (b *bench) live() uint32 {
	b.t.Helper()
	live, err := connectionsInUse(b.objects.Pool)
	must(b.t, err)
	return live
}

// memoryPerConnection is in bytes, of a table's capacity.
func memoryPerConnection(t *testing.T) float64 {
	t.Helper()
	objects, err := loadObjects(DefaultConnections)
	must(t, err)
	defer objects.Close()
	var bytes uint64
	for _, m := range []*ebpf.Map{objects.Conns, objects.Buckets} {
		info, err := m.Info()
		must(t, err)
		memory, _ := info.Memlock()
		bytes += memory
	}
	return float64(bytes) / DefaultConnections
}
