package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// hookPrefix begins the names of the pinned links beside those of the interfaces: what takes in packets that
// are made on this host.
const hookPrefix = "hook_"

// The names of the programs at TC, and so of their filters before TCX.
const (
	hookInterface = directorProgLeaveByInterface
	hookReplay    = directorProgReplayFragments
	hookLo        = directorProgLeaveByLo
	hookPair      = directorProgArriveByPair
)

var hookNames = []string{hookInterface, hookReplay, hookLo, hookPair}

func hookPin(kind, ifname string) string {
	return hookPrefix + kind + "_" + strings.ReplaceAll(ifname, ".", "%2e")
}

// hostHooks are the programs that they run.
type hostHooks struct{ entry, byInterface, replay, byLo, byPair *ebpf.Program }

func hooksOf(p *directorPrograms) hostHooks {
	return hostHooks{p.DroverXdp, p.LeaveByInterface, p.ReplayFragments, p.LeaveByLo, p.ArriveByPair}
}

// hook makes sure that packets of this host are taken in, as far as that is possible here; may be done again, and
// with other programs. The warning says what does without it. It needs the lock.
func (f folder) hook(h hostHooks, maps *directorMaps) (warning string, err error) {
	attached, err := f.attachedInterfaces()
	if err != nil {
		return "", err
	}
	for _, i := range attached {
		for _, hook := range []TCHook{
			{Program: h.byInterface, Name: hookInterface, To: i},
			{Program: h.replay, Name: hookReplay, To: i, Ingress: true},
		} {
			if err := f.attachHook(hook); err != nil {
				return "", err
			}
		}
	}
	p, err := f.hookPair(h)
	if err != nil {
		return fmt.Sprintf("clients on this host are not balanced, and fragments out of order are dropped: %v", err), nil
	}
	control, err := mapArray[directorControl](maps.Controls)
	if err != nil {
		return "", err
	}
	atomic.StoreUint32(&control.at(0).Inner, uint32(p.inner.Index))
	atomic.StoreUint32(&control.at(0).Outer, uint32(p.outer.Index))
	return "", control.close()
}

func (f folder) hookPair(h hostHooks) (pair, error) {
	p, err := ensurePair()
	if err != nil {
		return p, err
	}
	if err := f.hookEntry(h.entry, p.inner); err != nil {
		return p, err
	}
	lo := Interface{Name: "lo", Index: loopbackIndex}
	for _, hook := range []TCHook{
		{Program: h.byPair, Name: hookPair, To: p.outer, Ingress: true},
		{Program: h.byPair, Name: hookPair, To: p.inner, Ingress: true},
		{Program: h.byLo, Name: hookLo, To: lo},
	} {
		if err := f.attachHook(hook); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (f folder) attachHook(h TCHook) error {
	kind := "egress"
	if h.Ingress {
		kind = "ingress"
	}
	if _, err := AttachTC(h, f.pin(hookPin(kind, h.To.Name))); err != nil {
		return fmt.Errorf("attach %s to %s: %w", h.Name, h.To.Name, err)
	}
	return nil
}

const loopbackIndex = 1 // of lo in any network namespace

// hookEntry has the pair's inner end run drover_xdp. In native mode: in generic mode the kernel leaves out packets
// that a program at TC has redirected.
func (f folder) hookEntry(entry *ebpf.Program, inner Interface) error {
	pin := f.pin(hookPin("xdp", inner.Name))
	index, _, err := linkTarget(pin)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case index == inner.Index:
		return updateLink(pin, entry)
	default:
		if err := detachPin(pin); err != nil {
			return err
		}
	}
	l, err := attachXDP(entry, inner.Index, link.XDPDriverMode)
	if err != nil {
		return fmt.Errorf("attach to %s: %w", inner.Name, err)
	}
	defer l.Close() // the pin keeps it
	return l.Pin(pin)
}

// unhook takes all of it away, also what a killed load left.
func (f folder) unhook() error {
	entries, err := os.ReadDir(f.path())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list the pins: %w", err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), hookPrefix) {
			if err := detachPin(f.pin(entry.Name())); err != nil {
				return err
			}
		}
	}
	for _, name := range hookNames {
		err = errors.Join(err, RemoveTCFilters(name, nil))
	}
	return errors.Join(err, removePair())
}
