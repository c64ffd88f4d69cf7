package datapath

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"drover/internal/lvs"
)

// A crewService is a service whose clients the crew plays, with its servers, the newest first.
type crewService struct {
	key        lvs.ServiceKey
	forwarding lvs.Forwarding
	servers    []netip.AddrPort
}

// crewServices are by direct routing and NAT, of both families and protocols. No two have a server's
// address in common, so that a reply tells its service.
func crewServices() (all []crewService) {
	for i, s := range []struct {
		vip        string
		protocol   lvs.Protocol
		forwarding lvs.Forwarding
	}{
		{"192.0.2.101:80", lvs.TCP, lvs.DirectRoute},
		{"192.0.2.102:80", lvs.TCP, lvs.Masquerade},
		{"192.0.2.103:53", lvs.UDP, lvs.Masquerade},
		{"[2001:db8:9::104]:80", lvs.TCP, lvs.Masquerade},
	} {
		vip := netip.MustParseAddrPort(s.vip)
		family := lvs.FamilyOf(vip.Addr())
		service := crewService{
			key:        lvs.ServiceKey{Protocol: s.protocol, Addr: vip, Family: family},
			forwarding: s.forwarding,
		}
		for n := range 5 {
			server := realServer(10*i+n, family)
			if s.forwarding == lvs.DirectRoute {
				server = netip.AddrPortFrom(server.Addr(), vip.Port())
			}
			service.servers = append(service.servers, server)
		}
		all = append(all, service)
	}
	return all
}

// serve adds a service with its servers, the last of the list first.
func (r *rig) serve(s crewService, scheduler string) {
	r.t.Helper()
	err := r.table.AddService(lvs.Service{ServiceKey: s.key, Scheduler: scheduler})
	for i := len(s.servers) - 1; i >= 0; i-- {
		err = errors.Join(err, r.table.AddDestination(s.key, lvs.Destination{
			Addr: s.servers[i], Forwarding: s.forwarding, Weight: 1,
		}))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// A worker sends packets on one CPU.
type worker struct {
	*rig
	random *rand.Rand
	sent   int
}

// inject is receive for any goroutine.
func (w *worker) inject(ifindex int, frame []byte) (verdict uint32, out []byte, err error) {
	options := ebpf.RunOptions{
		Data: frame, DataOut: make([]byte, len(frame)+512),
		Context: xdpContext{DataEnd: uint32(len(frame)), IngressIfindex: uint32(ifindex)},
	}
	w.sent++
	verdict, err = w.objects.DroverXdp.Run(&options)
	return verdict, options.DataOut, err
}

// client draws one of a few, so that both CPUs meet at the same connections. Which few moves on with the
// time: those that are left alone run out, and some time later begin again.
func (w *worker) client(family lvs.Family) netip.AddrPort {
	host := (time.Now().UnixMilli()/20 + w.random.Int64N(5)) % 40
	return clientOf(family, byte(host), uint16(1024+w.random.IntN(4)))
}

// flags draws a packet of a client: all the ways of a connection to begin and end.
func (w *worker) flags() byte {
	all := [...]byte{flagSYN, flagSYN, flagSYN, flagACK, flagACK, flagACK | flagPSH, flagFIN | flagACK, flagRST}
	return all[w.random.IntN(len(all))]
}

// twoCPUs gives the first two CPUs that this thread may run on; on a machine with one, it twice.
func twoCPUs(t *testing.T) [2]int {
	t.Helper()
	var set unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &set))
	var cpus []int
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return [2]int{cpus[0], cpus[min(1, len(cpus)-1)]}
}

// onTwoCPUs runs work on two threads, each kept on its CPU, and tick in the meantime every millisecond.
// It returns when both have done, or with their errors.
func (r *rig) onTwoCPUs(t *testing.T, seed uint64, work func(*worker) error, tick func() error) {
	t.Helper()
	namespace, err := netns.Get()
	must(t, err)
	defer namespace.Close()
	var workers sync.WaitGroup
	errs := make([]error, 3)
	for i, cpu := range twoCPUs(t) {
		workers.Go(func() {
			runtime.LockOSThread() // for good: the thread ends with the goroutine
			var one unix.CPUSet
			one.Set(cpu)
			if errs[i] = errors.Join(netns.Set(namespace), unix.SchedSetaffinity(0, &one)); errs[i] != nil {
				return
			}
			w := &worker{rig: r, random: rand.New(rand.NewPCG(seed, uint64(i)))}
			if err := work(w); err != nil {
				errs[i] = fmt.Errorf("CPU %d, packet %d: %w", cpu, w.sent, err)
			}
		})
	}
	done := make(chan struct{})
	var clock sync.WaitGroup
	clock.Go(func() { errs[2] = tickUntil(done, tick) })
	workers.Wait()
	close(done)
	clock.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
}

func tickUntil(done <-chan struct{}, tick func() error) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-ticker.C:
			if err := tick(); err != nil {
				return err
			}
		}
	}
}

// pass is turn for any goroutine.
func (r *rig) pass(milliseconds uint32) error {
	r.now += milliseconds
	code, err := r.objects.TurnTimer.Run(&ebpf.RunOptions{Context: directorTurn{Now: r.now}})
	if err == nil && int32(code) < 0 {
		err = fmt.Errorf("turn the timer: code %d", int32(code))
	}
	return err
}

// greet sends a packet to every server of a service with source hashing. The next hop of a server is looked up
// with its first packet, and one that another CPU has for it in that moment is lost.
func (r *rig) greet(s crewService) {
	r.t.Helper()
	for host := range byte(40) {
		r.follow(flow{s.key.Protocol, clientOf(s.key.Family, host, 1), s.key.Addr}, flagSYN)
	}
}

// clientOf is one of 40 clients.
func clientOf(family lvs.Family, host byte, port uint16) netip.AddrPort {
	addr := netip.AddrFrom4([4]byte{203, 0, 113, 1 + host})
	if family == lvs.IPv6 {
		b := netip.MustParseAddr("2001:db8:1::").As16()
		b[15] = 1 + host
		addr = netip.AddrFrom16(b)
	}
	return netip.AddrPortFrom(addr, port)
}

// reply is the server's answer to a client of the service.
func (s crewService) reply(server, client netip.AddrPort) flow {
	return flow{protocol: s.key.Protocol, from: server, to: client}
}

// hostMAC is the MAC of a server that realServer named.
func hostMAC(server netip.AddrPort) net.HardwareAddr {
	b := server.Addr().AsSlice()
	return serverMAC(b[len(b)-1])
}
