package datapath

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"

	"drover/internal/lvs"
)

// WATCH_* of bpf/types.h.
const (
	watchTrace   = 1
	watchCapture = 2
)

// watchLease is for how long the programs tell events after the last sign of life of who watches, in ms.
const watchLease = 3000

// An Event is what became of one packet.
type Event struct {
	At        time.Time
	Interface string // that it came in by
	Protocol  lvs.Protocol
	From, To  netip.AddrPort
	Outcome   Counter        // Value is not used; of a packet as it came, the zero value
	Mark      uint32         // 0: none
	Server    netip.AddrPort // of its connection; the zero value: none
	State     lvs.State      // of its connection, with a Server
	Reply     bool           // from the server
	Frame     []byte         // as far as it was kept
	Length    int            // of the frame, bytes
}

// A Filter says which packets are watched; the zero value: all.
type Filter struct {
	Protocol  lvs.Protocol
	Host      netip.Prefix // source or destination
	Port      uint16       // source or destination
	Interface string
	Outcomes  []string // verdicts or names of counters
}

// ErrWatched says that somebody watches already.
var ErrWatched = errors.New("somebody else traces or captures here already: one can at a time")

// Watch calls f with each packet that the filter lets through, until ctx ends. With snap it also tells of packets as
// they come in, and keeps so many bytes of each frame. hidden is how many were more than can be told.
func (t *Table) Watch(ctx context.Context, filter Filter, snap uint32, f func(*Event) error) (hidden uint64, err error) {
	watches, err := mapArray[directorWatch](t.maps.Watches)
	if err != nil {
		return 0, err
	}
	defer watches.close() //nolint:errcheck // it is set
	row, err := filter.row(snap)
	if err != nil {
		return 0, err
	}
	c := t.control.at(0)
	now, until := atomic.LoadUint32(&c.Now), atomic.LoadUint32(&c.WatchUntil)
	if until != 0 && int32(until-now) > 0 || !atomic.CompareAndSwapUint32(&c.WatchUntil, until, now+watchLease) {
		return 0, ErrWatched
	}
	defer atomic.StoreUint32(&c.WatchUntil, 0)
	reader, err := ringbuf.NewReader(t.maps.Events)
	if err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	defer reader.Close()
	*watches.at(0) = row
	lease := func() { atomic.StoreUint32(&c.WatchUntil, atomic.LoadUint32(&c.Now)+watchLease) }
	what := uint32(watchTrace)
	if snap > 0 {
		what = watchCapture
	}
	atomic.StoreUint32(&c.Watch, what)
	defer atomic.StoreUint32(&c.Watch, 0)
	names := newNames(t)
	for {
		if ctx.Err() != nil {
			return atomic.LoadUint64(&watches.at(0).Hidden), nil
		}
		lease()
		reader.SetDeadline(time.Now().Add(200 * time.Millisecond))
		record, err := reader.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read events: %w", err)
		}
		if len(record.RawSample) < int(unsafe.Sizeof(directorEvent{})) {
			continue
		}
		raw := (*directorEvent)(unsafe.Pointer(&record.RawSample[0]))
		e := names.event(&raw.Note)
		e.At = names.boot.Add(time.Duration(raw.At))
		e.Length, e.Frame = int(raw.Length), raw.Frame[:min(raw.Kept, uint32(len(raw.Frame)))]
		if err := f(e); err != nil {
			return atomic.LoadUint64(&watches.at(0).Hidden), err
		}
	}
}

// row gives the filter as the programs read it.
func (f Filter) row(snap uint32) (directorWatch, error) {
	row := directorWatch{Snap: snap, Port: bigEndian(f.Port), Protocol: uint8(f.Protocol), Outcomes: ^uint64(0)}
	if f.Host.IsValid() {
		row.Addr, row.Mask = maskedPrefix(f.Host)
	}
	if f.Interface != "" {
		link, err := net.InterfaceByName(f.Interface)
		if err != nil {
			return row, fmt.Errorf("interface %q: there is none of that name here", f.Interface)
		}
		row.Ifindex = uint32(link.Index)
	}
	if len(f.Outcomes) == 0 {
		return row, nil
	}
	row.Outcomes = 0
	for _, name := range f.Outcomes {
		found := false
		for _, c := range counters {
			if c.Name == name || c.Verdict == name {
				row.Outcomes |= 1 << c.outcome
				found = true
			}
		}
		if !found {
			return row, fmt.Errorf("outcome %q: want pass, forward, hold, answer, drop, or a counter of drover datapath status", name)
		}
	}
	return row, nil
}

// names turns what programs write down into what people read.
type names struct {
	t          *Table
	boot       time.Time // 0 of CLOCK_MONOTONIC
	interfaces map[uint32]string
	outcomes   map[uint8]Counter
}

func newNames(t *Table) *names {
	n := &names{t: t, boot: bootTime(), interfaces: map[uint32]string{}, outcomes: map[uint8]Counter{}}
	for _, c := range counters {
		n.outcomes[uint8(c.outcome)] = c.Counter
	}
	return n
}

func (n *names) event(note *directorNote) *Event {
	e := &Event{
		At: n.time(note.At), Interface: n.interfaceName(note.Ifindex), Protocol: lvs.Protocol(note.Protocol),
		From: addrPort(note.Source, note.Sport, note.Family), To: addrPort(note.Destination, note.Dport, note.Family),
		Outcome: n.outcomes[note.Outcome], Mark: note.Mark, Reply: note.State>>16 != 0,
	}
	if note.Server != 0 && note.Server < uint32(len(n.t.dests.elements)) {
		d := n.t.dests.at(note.Server)
		e.Server, e.State = addrPort(d.Addr, d.Port, d.RipFamily), lvs.State(note.State&stateMask)
	}
	return e
}

// time gives the wall's clock for the programs': 32 bits of milliseconds, of which the latest is meant.
func (n *names) time(at uint32) time.Time {
	now := time.Since(n.boot).Milliseconds()
	return n.boot.Add(time.Duration(now-int64(int32(uint32(now)-at))) * time.Millisecond)
}

func (n *names) interfaceName(index uint32) string {
	name, ok := n.interfaces[index]
	if !ok {
		name = fmt.Sprint(index)
		if link, err := net.InterfaceByIndex(int(index)); err == nil {
			name = link.Name
		}
		n.interfaces[index] = name
	}
	return name
}

// Incidents gives what the flight recorder kept, the oldest first, and how many more there were than it keeps in a
// second.
func (t *Table) Incidents() (events []*Event, skipped uint64, err error) {
	recorders, err := mapArray[directorRecorder](t.maps.Recorders)
	if err != nil {
		return nil, 0, err
	}
	defer recorders.close() //nolint:errcheck // only read
	notes, err := mapArray[directorNote](t.maps.Notes)
	if err != nil {
		return nil, 0, err
	}
	defer notes.close() //nolint:errcheck // only read
	written := atomic.LoadUint64(&recorders.at(0).Written)
	size := uint64(len(notes.elements))
	names := newNames(t)
	for i := written - min(written, size); i < written; i++ {
		note := *notes.at(uint32(i % size))
		events = append(events, names.event(&note))
	}
	return events, atomic.LoadUint64(&recorders.at(0).Skipped), nil
}
