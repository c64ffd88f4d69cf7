package director

import (
	"sync"
	"time"
)

// Kind is what an event is about.
type Kind string

// The kinds.
const (
	KindServer   Kind = "server" // a real server in a virtual server: UP, DOWN
	KindVirtual  Kind = "quorum" // a virtual server: UP, DOWN
	KindSorry    Kind = "sorry"  // a sorry server: UP when it serves, DOWN
	KindWeight   Kind = "weight"
	KindCheck    Kind = "check"    // UP, DOWN, or FAILED for a failure that changes nothing yet
	KindOverride Kind = "override" // SET, CLEARED, EXPIRED
	KindGuard    Kind = "guard"    // HOLDING, RELEASED
	KindReload   Kind = "reload"   // DONE, REFUSED
	KindDataPath Kind = "datapath" // FAILED, GONE

	KindVRRP      Kind = "vrrp"       // a virtual router: BACKUP, MASTER, FAULT, STOP
	KindVRRPGroup Kind = "vrrp_group" // a sync group: the same
)

// An Event is something that happened, as it is logged, kept and told.
type Event struct {
	Seq           uint64    `json:"seq"` // 1 for the first since the director began
	Time          time.Time `json:"time"`
	Kind          Kind      `json:"kind"`
	State         string    `json:"state"`
	VirtualServer string    `json:"virtual_server,omitempty"`
	RealServer    string    `json:"real_server,omitempty"`
	Instance      string    `json:"instance,omitempty"` // a virtual router, or a sync group
	Priority      int       `json:"priority,omitempty"` // the virtual router's
	Message       string    `json:"message"`
	Reason        string    `json:"reason,omitempty"`

	// For who runs the programs of the configuration: where the event comes from. Not kept.
	Origin Origin `json:"-"`
}

// journalLength is how many events are kept for those who ask later.
const journalLength = 4096

// A journal keeps the last events.
type journal struct {
	mu     sync.Mutex // protects what follows
	events []Event    // the oldest first
	seq    uint64
	grown  chan struct{} // closed when an event has come
}

func newJournal() *journal { return &journal{grown: make(chan struct{})} }

// add numbers an event and keeps it.
func (j *journal) add(e Event) Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.Seq = j.seq
	if len(j.events) == journalLength {
		copy(j.events, j.events[1:])
		j.events = j.events[:journalLength-1]
	}
	j.events = append(j.events, e)
	close(j.grown)
	j.grown = make(chan struct{})
	return e
}

// after gives the events that are kept after the one numbered seq, and what is closed when there are more.
func (j *journal) after(seq uint64) ([]Event, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, e := range j.events {
		if e.Seq > seq {
			return append([]Event(nil), j.events[i:]...), j.grown
		}
	}
	return nil, j.grown
}
