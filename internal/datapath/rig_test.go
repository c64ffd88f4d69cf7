package datapath

import (
	"net"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The verdicts of an XDP program (enum xdp_action, linux/bpf.h).
const (
	xdpAborted  = 0
	xdpDrop     = 1
	xdpPass     = 2
	xdpTX       = 3
	xdpRedirect = 4
)

// The rig's interfaces. Packets come in by front; clients are behind a router on it, and servers are
// on back.
const (
	frontName = "front"
	backName  = "back"
)

// Its addresses. Neighbours are permanent entries, so that next hops are known at once.
var (
	frontMAC  = net.HardwareAddr{2, 0, 0, 0, 2, 1}
	backMAC   = net.HardwareAddr{2, 0, 0, 0, 3, 1}
	routerMAC = net.HardwareAddr{2, 0, 0, 0, 2, 0xfe}
)

// serverMAC is that of 198.51.100.host and 2001:db8:3::host.
func serverMAC(host byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 3, host} }

// rig is a data path in a network namespace of its own, attached to nothing and pinned nowhere: packets
// are given to the entry program by BPF_PROG_TEST_RUN, and time moves only by turn.
type rig struct {
	t       testing.TB
	objects *directorObjects
	table   *Table
	front   int // interface index
	back    int
	now     uint32 // clock, ms
}

// newRig makes one with a table of that many connections. The director is 192.0.2.1 and 2001:db8:2::1
// on front and 198.51.100.1 and 2001:db8:3::1 on back; the way to the clients (203.0.113.0/24 and
// 2001:db8:1::/64) is the router 192.0.2.254, 2001:db8:2::fe. Servers .1 to .250 on back are known.
func newRig(t *testing.T, connections uint32) *rig {
	t.Helper()
	enterNamespace(t)
	r := &rig{t: t, now: 1_000_000}
	r.front = rigLink(t, frontName, frontMAC, "192.0.2.1/24", "2001:db8:2::1/64")
	r.back = rigLink(t, backName, backMAC, "198.51.100.1/24", "2001:db8:3::1/64")
	permanent(t, r.front, "192.0.2.254", routerMAC)
	permanent(t, r.front, "2001:db8:2::fe", routerMAC)
	addRoute(t, "203.0.113.0/24", "192.0.2.254")
	addRoute(t, "2001:db8:1::/64", "2001:db8:2::fe")
	for host := byte(2); host <= 250; host++ {
		permanent(t, r.back, net.IPv4(198, 51, 100, host).String(), serverMAC(host))
		v6 := net.ParseIP("2001:db8:3::")
		v6[15] = host
		permanent(t, r.back, v6.String(), serverMAC(host))
	}
	must(t, writeSettings(map[string]string{forwardingSettings[0]: "1", forwardingSettings[1]: "1"}))
	objects, err := loadObjects(connections)
	must(t, err)
	r.objects = objects
	r.table, err = newTable(&objects.directorMaps)
	must(t, err)
	t.Cleanup(func() {
		must(t, r.table.unmap())
		must(t, objects.Close())
	})
	r.describe(1, r.front, frontMAC)
	r.describe(2, r.back, backMAC)
	r.turn(0)
	return r
}

func rigLink(t *testing.T, name string, mac net.HardwareAddr, cidrs ...string) int {
	t.Helper()
	addVeth(t, name, name+"_peer")
	link := device(t, name)
	must(t, netlink.LinkSetHardwareAddr(link, mac))
	for _, cidr := range cidrs {
		addAddress(t, name, cidr)
	}
	return link.Attrs().Index
}

func permanent(t *testing.T, index int, addr string, mac net.HardwareAddr) {
	t.Helper()
	must(t, netlink.NeighSet(&netlink.Neigh{
		LinkIndex: index, IP: net.ParseIP(addr), HardwareAddr: mac, State: unix.NUD_PERMANENT,
	}))
}

func (r *rig) describe(row uint32, index int, mac net.HardwareAddr) {
	r.t.Helper()
	d := directorDevice{Ifindex: uint32(index), Mac: macWord(mac)}
	if err := r.objects.Devices.Put(row, d); err != nil {
		r.t.Fatal(err)
	}
	if err := r.objects.IngressMacs.Put(uint32(index), d.Mac); err != nil {
		r.t.Fatal(err)
	}
}

// turn moves the clock on by so many milliseconds and gives the timer one turn.
func (r *rig) turn(milliseconds uint32) {
	r.t.Helper()
	r.now += milliseconds
	code, err := r.objects.TurnTimer.Run(&ebpf.RunOptions{Context: directorTurn{Now: r.now}})
	if err != nil || int32(code) < 0 {
		r.t.Fatalf("turn the timer: code %d, %v", int32(code), err)
	}
}

// xdpContext is struct xdp_md of linux/bpf.h.
type xdpContext struct {
	Data, DataEnd, DataMeta                uint32
	IngressIfindex, RxQueueIndex, EgressIf uint32
}

// receive gives a frame to the entry program as if it came in by an interface, and returns the verdict
// and the frame as it is then.
func (r *rig) receive(ifindex int, frame []byte) (verdict uint32, out []byte) {
	r.t.Helper()
	out = make([]byte, len(frame)+512)
	options := ebpf.RunOptions{
		Data: frame, DataOut: out,
		Context: xdpContext{DataEnd: uint32(len(frame)), IngressIfindex: uint32(ifindex)},
	}
	verdict, err := r.objects.DroverXdp.Run(&options)
	if err != nil {
		r.t.Fatalf("run the program: %v", err)
	}
	return verdict, options.DataOut
}

// outcomes gives the counters that are not zero, as "verdict name" to value.
func (r *rig) outcomes() map[string]uint64 {
	r.t.Helper()
	all, err := readCounters(r.objects.Outcomes)
	if err != nil {
		r.t.Fatal(err)
	}
	counted := map[string]uint64{}
	for _, c := range all {
		if c.Value > 0 {
			counted[c.Verdict+" "+c.Name] = c.Value
		}
	}
	return counted
}
