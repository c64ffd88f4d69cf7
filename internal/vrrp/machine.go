package vrrp

import (
	"net/netip"
	"time"
)

// A State is that of a virtual router on this host. The numbers are those of keepalived's dumps.
type State uint8

// The states.
const (
	Init   State = 0
	Backup State = 1
	Master State = 2
	Failed State = 3 // keepalived's FAULT: an interface is down, a tracker has failed
)

func (s State) String() string { return [...]string{"INIT", "BACKUP", "MASTER", "FAULT"}[s] }

// OwnerPriority is that of who owns the addresses (RFC 9568, Section 5.2.4).
const OwnerPriority = 255

// Settings are what a Machine is told of its virtual router.
type Settings struct {
	Version      int
	Priority     int           // 1 to 255
	StartMaster  bool          // state MASTER: waits for a little more than one advert when it begins
	Interval     time.Duration // between adverts
	DownAdverts  int           // intervals without an advert until a backup takes over; 3
	NoPreempt    bool          // a backup of higher priority does not take over
	PreemptDelay time.Duration // it does so long after the first advert of lower priority
	// HigherSend has a master send an advert once more when it gives way, and LowerQuiet send none when one of lower priority
	// arrives: higher_prio_send_advert and lower_prio_no_advert.
	HigherSend, LowerQuiet bool
	Source                 netip.Addr // of our adverts: of two equal priorities the higher address wins
}

// An Act is what a Machine wants done.
type Act struct {
	Kind     ActKind
	Priority uint8 // of Send
	From, To State // of Become
	Why      string
}

// ActKind is what is to be done.
type ActKind int

// What is to be done.
const (
	Send     ActKind = iota // an advert with the Priority
	Become                  // another state: addresses come or go, others are told
	Announce                // the addresses once more: somebody else said that they were his
)

// A Rival is who sent the last advert.
type Rival struct {
	Addr     netip.Addr
	Priority uint8
	Interval time.Duration
	At       time.Time
}

// A Machine is the state of a virtual router (RFC 9568, Section 6.4), with keepalived's FAULT and preempt_delay. It has no
// clock: who drives it says what time it is, and does what Take gives after each call.
type Machine struct {
	settings Settings
	group    *Group
	state    State
	priority int // with what trackers add
	failed   bool
	due      time.Time // of the next advert as MASTER, of taking over as BACKUP
	wants    bool      // it would be MASTER but for its group
	givenUp  bool      // by the master, with priority 0
	waited   bool      // for a master that may be there, after having been held up
	begun    time.Time // when adverts of lower priority began; zero: they have not
	rival    Rival
	acts     []Act
}

// NewMachine gives a virtual router that has not begun.
func NewMachine(s Settings) *Machine {
	return &Machine{settings: s, priority: s.Priority, rival: Rival{Interval: s.Interval}}
}

// State gives the state.
func (m *Machine) State() State { return m.state }

// Priority gives the priority with what trackers add.
func (m *Machine) Priority() int { return m.priority }

// Rival gives who sent the last advert; its address is invalid if none came.
func (m *Machine) Rival() Rival { return m.rival }

// Due gives when Tick is to be called; zero: nothing is due.
func (m *Machine) Due() time.Time { return m.due }

// Take gives what is to be done, in order, and forgets it.
func (m *Machine) Take() []Act {
	acts := m.acts
	m.acts = nil
	return acts
}

// skew has backups of higher priority take over earlier (RFC 3768, Section 6.1; RFC 9568, Section 6.1).
func (m *Machine) skew() time.Duration {
	unit := m.rival.Interval
	if m.settings.Version == 2 {
		unit = time.Second
	}
	return time.Duration(256-m.priority) * unit / 256
}

func (m *Machine) downInterval() time.Duration {
	return time.Duration(m.settings.DownAdverts)*m.rival.Interval + m.skew()
}

// Begin leaves INIT.
func (m *Machine) Begin(now time.Time) {
	switch {
	case m.isFailed():
		m.become(Failed, "it begins with a fault")
	case m.priority == OwnerPriority:
		m.wants = true
		m.tryMaster(now, "it owns the addresses")
	default:
		m.become(Backup, "it begins")
		m.due = now.Add(m.downInterval())
		if m.settings.StartMaster {
			m.due = now.Add(m.settings.Interval + m.settings.Interval/256)
		}
	}
}

// Hear takes an advert that has passed all checks.
func (m *Machine) Hear(now time.Time, a *Advert, source netip.Addr) {
	switch m.state {
	case Backup:
		m.hearAsBackup(now, a)
	case Master:
		m.hearAsMaster(now, a, source)
	}
	if a.Priority > 0 {
		m.rival = Rival{source, a.Priority, m.rival.Interval, now}
	}
}

func (m *Machine) hearAsBackup(now time.Time, a *Advert) {
	if a.Priority == 0 {
		m.givenUp = true
		m.due = now.Add(m.skew())
		return
	}
	if int(a.Priority) >= m.priority {
		m.begun = time.Time{}
	} else {
		if m.begun.IsZero() {
			m.begun = now
		}
		if !m.settings.NoPreempt && now.Sub(m.begun) >= m.settings.PreemptDelay {
			return // it is not heeded, and its sender soon a backup
		}
	}
	m.follow(now, a)
}

// follow keeps to a master.
func (m *Machine) follow(now time.Time, a *Advert) {
	if m.settings.Version == 3 {
		m.rival.Interval = a.Interval
	}
	m.wants, m.waited, m.givenUp = false, false, false
	m.due = now.Add(m.downInterval())
}

func (m *Machine) hearAsMaster(now time.Time, a *Advert, source netip.Addr) {
	higher := int(a.Priority) > m.priority || int(a.Priority) == m.priority && m.settings.Source.Less(source)
	switch {
	case a.Priority == 0:
		m.advertise(now)
	case higher:
		if m.settings.HigherSend {
			m.send(uint8(m.priority))
		}
		m.giveWay(now, a, "an advert of higher priority")
	case now.Sub(m.due) > time.Duration(m.settings.DownAdverts-1)*m.settings.Interval:
		// This process was held up so long that another has taken over. To take the addresses back at once, and be held
		// up again, would have them go to and fro; as a backup it has to be in time for a whole down interval first.
		m.giveWay(now, a, "held up, and another has taken over")
	case !m.settings.LowerQuiet:
		m.advertise(now)
		m.acts = append(m.acts, Act{Kind: Announce})
	}
}

func (m *Machine) giveWay(now time.Time, a *Advert, why string) {
	m.become(Backup, why)
	m.follow(now, a)
	m.group.pull(m, now)
}

// Tick does what is due.
func (m *Machine) Tick(now time.Time) {
	if m.due.IsZero() || now.Before(m.due) {
		return
	}
	switch m.state {
	case Backup:
		// Held up for long, this host may have lost adverts of a master that is well: it waits for one more.
		if !m.waited && now.Sub(m.due) > m.rival.Interval {
			m.waited = true
			m.due = now.Add(m.rival.Interval + m.skew())
			return
		}
		m.wants = true
		why := "no advert in time"
		if m.givenUp {
			why = "the master has given up"
		}
		m.tryMaster(now, why)
	case Master:
		m.send(uint8(m.priority))
		if m.due = m.due.Add(m.settings.Interval); m.due.Before(now) {
			m.due = now.Add(m.settings.Interval)
		}
	}
}

// tryMaster takes over if the group lets it, together with the group.
func (m *Machine) tryMaster(now time.Time, why string) {
	if !m.group.wants() {
		if m.state == Init {
			m.become(Backup, "its group is not ready")
		}
		m.due = now.Add(m.rival.Interval + m.settings.Interval/256)
		return
	}
	for _, member := range m.group.with(m) {
		if member.state != Master {
			member.takeOver(now, why)
		}
	}
}

func (m *Machine) takeOver(now time.Time, why string) {
	m.rival.Interval = m.settings.Interval // it is ours that counts from now on
	m.advertise(now)                       // first of all, so that other backups keep still
	m.become(Master, why)
}

func (m *Machine) advertise(now time.Time) {
	m.send(uint8(m.priority))
	m.due = now.Add(m.settings.Interval)
}

func (m *Machine) send(priority uint8) {
	m.acts = append(m.acts, Act{Kind: Send, Priority: priority})
}

func (m *Machine) become(s State, why string) {
	m.acts = append(m.acts, Act{Kind: Become, From: m.state, To: s, Why: why})
	m.state = s
	m.begun, m.waited, m.givenUp = time.Time{}, false, false
	if s != Master {
		m.wants = false
	}
	if s == Failed {
		m.due = time.Time{}
	}
}

// SetPriority takes a priority with what trackers add. No timer begins anew.
func (m *Machine) SetPriority(priority int) {
	if m.settings.Priority != OwnerPriority {
		m.priority = priority
	}
}

// SetFault takes whether anything that must not fail has failed.
func (m *Machine) SetFault(now time.Time, failed bool, why string) {
	m.failed = failed
	for _, member := range m.group.with(m) {
		member.settleFault(now, why)
	}
}

func (m *Machine) isFailed() bool { return m.failed || m.group.isFailed() }

func (m *Machine) settleFault(now time.Time, why string) {
	switch failed := m.isFailed(); {
	case m.state == Init, failed == (m.state == Failed):
	case failed:
		if m.state == Master {
			m.send(0)
		}
		m.become(Failed, why)
	case m.priority == OwnerPriority:
		m.wants = true
		m.tryMaster(now, why)
	default:
		m.rival.Interval = m.settings.Interval
		m.become(Backup, why)
		m.due = now.Add(m.downInterval())
	}
}

// Stop gives up for good: another takes over after its skew.
func (m *Machine) Stop() {
	if m.state == Master {
		m.send(0)
	}
	m.acts = append(m.acts, Act{Kind: Become, From: m.state, To: Init, Why: "stopped"})
	m.state, m.due = Init, time.Time{}
}

// change takes settings of a reload. No timer begins anew; a priority that trackers have changed is theirs to give again.
func (m *Machine) change(s Settings) {
	m.settings = s
	m.priority = s.Priority
	if m.state == Master {
		m.rival.Interval = s.Interval
	}
}
