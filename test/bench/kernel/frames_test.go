//go:build bench

package kernel

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	liveFrames = 1 << 1 // BPF_F_TEST_XDP_LIVE_FRAMES (linux/bpf.h)
	batch      = 64     // frames; a veth's ring holds 256
	settled    = 50 * time.Millisecond
)

// A wire makes frames in the clients' namespace and counts them in the servers'.
type wire struct {
	t       *testing.T
	objects framesObjects
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{t: t}
	softirqsFirst(t)
	addNamespace(t, clientsSide)
	addNamespace(t, serversSide)
	spec, err := loadFrames()
	must(t, err)
	must(t, spec.Variables[framesVarServersNet].Set(serversNet.Addr().As4()))
	must(t, spec.LoadAndAssign(&w.objects, nil))
	t.Cleanup(func() { must(t, w.objects.Close()) })
	return w
}

// count attaches the counter to the servers' end of a director's wire.
func (w *wire) count(device string) { w.attach(w.objects.CountFrame, serversSide, device) }

// attach attaches a program to a device, which then receives redirected frames, until the test ends.
func (w *wire) attach(program *ebpf.Program, namespace, device string) {
	w.t.Helper()
	inside(w.t, namespace, func() {
		l, err := link.AttachXDP(link.XDPOptions{
			Program: program, Interface: index(w.t, device), Flags: link.XDPDriverMode,
		})
		must(w.t, err)
		w.t.Cleanup(func() { must(w.t, l.Close()) })
	})
}

// A volley is frames that were sent, and what became of them.
type volley struct {
	made    int
	arrived int // in the form that was wanted
	took    time.Duration
}

func (v volley) perSecond() float64 { return float64(v.arrived) / v.took.Seconds() }

// lost is the share that did not arrive.
func (v volley) lost() float64 { return 1 - float64(v.arrived)/float64(v.made) }

// send sends frames of the flows into a device of the clients' namespace and counts those that come to
// the servers in the form that is wanted. The time ends when the last has arrived.
func (w *wire) send(device string, f framesFlows, frames int, wanted framesArrival) volley {
	w.t.Helper()
	var v volley
	inside(w.t, clientsSide, func() {
		yieldingOnOneCPU(w.t)
		f.Ifindex = uint32(index(w.t, device))
		must(w.t, w.objects.Flows.Put(uint32(0), f))
		before, begin := w.arrivals(wanted), time.Now()
		_, err := w.objects.MakeFrame.Run(&ebpf.RunOptions{
			Data: make([]byte, 60), Repeat: uint32(frames), Flags: liveFrames, BatchSize: batch,
		})
		must(w.t, err)
		v.took = time.Since(begin)
		must(w.t, w.objects.Flows.Lookup(uint32(0), &f)) // a run that a signal broke off was begun anew
		v.made = int(f.Made)
		for v.arrived = w.arrivals(wanted) - before; v.arrived < v.made && time.Since(begin) < v.took+settled; {
			if n := w.arrivals(wanted) - before; n > v.arrived {
				v.arrived, v.took = n, time.Since(begin)
			}
		}
	})
	return v
}

// arrivals is the number of frames of one form, so far.
func (w *wire) arrivals(form framesArrival) (n int) {
	w.t.Helper()
	var perCPU []uint64
	must(w.t, w.objects.Arrivals.Lookup(form, &perCPU))
	for _, count := range perCPU {
		n += int(count)
	}
	return n
}

// inside runs fn on a thread in a network namespace. The thread ends with it.
func inside(t *testing.T, namespace string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done) // also after FailNow
		runtime.LockOSThread()
		ns, err := netns.GetFromName(namespace)
		must(t, err)
		defer ns.Close()
		must(t, netns.Set(ns))
		fn()
	}()
	<-done
	if t.Failed() {
		t.FailNow()
	}
}

// yieldingOnOneCPU keeps the thread on the first CPU, where the interrupts of all frames that it sends
// are served, and lets everything else there go first: no more frames are made until those that the
// kernel has left to ksoftirqd are served, else they would overflow the rings.
func yieldingOnOneCPU(t *testing.T) {
	t.Helper()
	var set unix.CPUSet
	set.Set(0)
	must(t, unix.SchedSetaffinity(0, &set))
	schedule(t, 0, unix.SCHED_IDLE, 0)
}

// softirqsFirst lets ksoftirqd of the first CPU finish before any other thread there goes on.
func softirqsFirst(t *testing.T) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	must(t, err)
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && string(text) == "ksoftirqd/0\n" {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			must(t, err)
			schedule(t, pid, unix.SCHED_FIFO, 1)
			t.Cleanup(func() { schedule(t, pid, unix.SCHED_NORMAL, 0) })
			return
		}
	}
	t.Fatal("there is no ksoftirqd/0")
}

func schedule(t *testing.T, pid int, policy, priority uint32) {
	t.Helper()
	must(t, unix.SchedSetAttr(pid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority}, 0))
}

func index(t *testing.T, device string) int {
	t.Helper()
	found, err := net.InterfaceByName(device)
	must(t, err)
	return found.Index
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
