package director

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"drover/internal/checker"
	"drover/internal/lvs"
	"drover/internal/vrrp"
)

// A Snapshot is all that a director knows at a moment. It is never changed.
type Snapshot struct {
	At             time.Time       `json:"at"`
	Started        time.Time       `json:"started"`
	Config         string          `json:"config"`
	Router         string          `json:"router_id,omitempty"`
	Reload         Reloaded        `json:"reload"`
	DataPathError  string          `json:"datapath_error,omitempty"`
	KeepError      string          `json:"keep_error,omitempty"`
	Holding        bool            `json:"mass_failure_guard_holding"`
	ChecksRun      int             `json:"checks"` // that are asked, each once
	VirtualServers []VirtualStatus `json:"virtual_servers"`
	VRRP           []RouterStatus  `json:"vrrp,omitempty"`
}

// A RouterStatus is a virtual router's.
type RouterStatus struct {
	Name      string            `json:"name"`
	Interface string            `json:"interface"`
	VRID      uint8             `json:"virtual_router_id"`
	Version   int               `json:"version"`
	State     string            `json:"state"` // INIT, BACKUP, MASTER, FAULT
	Since     time.Time         `json:"since"`
	Base      int               `json:"priority_configured"`
	Priority  int               `json:"priority"` // with what trackers add
	Advert    float64           `json:"advert_interval_seconds"`
	Source    string            `json:"source,omitempty"`
	Addresses []netip.Addr      `json:"addresses"`
	SyncGroup string            `json:"sync_group,omitempty"`
	Faults    []string          `json:"faults,omitempty"`
	Rival     *RivalStatus      `json:"last_advert,omitempty"`
	Counters  map[string]uint64 `json:"counters"`
}

// A RivalStatus is who sent the last advert.
type RivalStatus struct {
	From     netip.Addr `json:"from"`
	Priority uint8      `json:"priority"`
	At       time.Time  `json:"at"`
}

// A VirtualStatus is a virtual server's.
type VirtualStatus struct {
	Name       string           `json:"name"`
	Group      string           `json:"group,omitempty"`
	Services   []lvs.ServiceKey `json:"-"`
	Service    []string         `json:"services"` // "tcp/192.0.2.1:80"
	Scheduler  string           `json:"scheduler"`
	Forwarding string           `json:"forwarding"` // of its first server
	Quorum     bool             `json:"quorum"`
	Sum        int              `json:"weight_sum"`
	Needed     int              `json:"quorum_needed"`
	Sorry      *SorryStatus     `json:"sorry_server,omitempty"`
	Servers    []ServerStatus   `json:"real_servers"`
}

// A SorryStatus is a sorry server's.
type SorryStatus struct {
	Name   string `json:"name"`
	Serves bool   `json:"serves"`
}

// A ServerStatus is a real server's.
type ServerStatus struct {
	Name       string         `json:"name"`
	Address    netip.AddrPort `json:"address"`
	Forwarding string         `json:"forwarding"` // Route, Tunnel, Masq
	Alive      bool           `json:"alive"`
	Configured int32          `json:"weight_configured"`
	Weight     int32          `json:"weight"` // in force; 0 where it does not serve
	Inhibit    bool           `json:"inhibit_on_failure,omitempty"`
	Since      time.Time      `json:"since,omitzero"`   // of Alive; zero: from the start
	Reason     string         `json:"reason,omitempty"` // why it is not alive
	Override   *Override      `json:"override,omitempty"`
	Checks     []CheckStatus  `json:"checks"`
}

// A CheckStatus is a check's.
type CheckStatus struct {
	Kind     checker.Kind   `json:"kind"`
	Target   netip.AddrPort `json:"target"`
	What     string         `json:"what,omitempty"` // the url, the program, the name that is asked for
	Up       bool           `json:"up"`
	HasRun   bool           `json:"has_run"`
	Failures int            `json:"failures"` // one after the other
	Since    time.Time      `json:"since,omitzero"`
	At       time.Time      `json:"last,omitzero"`
	Took     time.Duration  `json:"took_ns"`
	Reason   string         `json:"reason,omitempty"`
	Weight   int            `json:"weight,omitempty"`
	SharedBy int            `json:"shared_by"` // real servers whose check it is
}

// Snapshot gives what the director knows now, with the last answer of each check.
func (d *Director) Snapshot(ctx context.Context) (s *Snapshot, err error) {
	err = d.do(ctx, func() { s = d.snapshot() })
	return s, err
}

// Events gives what has happened after the event numbered seq, and waits for something where nothing has.
func (d *Director) Events(ctx context.Context, seq uint64, wait bool) ([]Event, error) {
	for {
		events, grown := d.events.after(seq)
		if len(events) > 0 || !wait {
			return events, nil
		}
		select {
		case <-grown:
		case <-d.done:
			return nil, ErrEnded
		case <-ctx.Done():
			return nil, nil
		}
	}
}

func (d *Director) snapshot() *Snapshot {
	s := &Snapshot{
		At: d.options.Now(), Started: d.startedAt, Config: d.config.File, Router: d.config.Global.RouterID,
		Reload: d.reloaded, Holding: d.holding.Held(), ChecksRun: len(d.byCheck),
	}
	if d.failed != nil {
		s.DataPathError = d.failed.Error()
	}
	if d.saveError != nil {
		s.KeepError = d.saveError.Error()
	}
	// What was asked since the last report, without a change.
	states := d.checks.States()
	s.VirtualServers = make([]VirtualStatus, len(d.pools))
	for i, p := range d.pools {
		s.VirtualServers[i] = d.virtualStatus(p, states)
	}
	if d.options.Router != nil {
		for _, r := range d.options.Router.Status() {
			s.VRRP = append(s.VRRP, routerStatus(&r))
		}
	}
	return s
}

func routerStatus(r *vrrp.Status) RouterStatus {
	s := RouterStatus{
		Name: r.Name, Interface: r.Interface, VRID: r.VRID, Version: r.Settings.Version, State: r.State.String(), Since: r.Since,
		Base: r.Settings.Priority, Priority: r.Priority, Advert: r.Settings.Interval.Seconds(), Addresses: r.Addresses, SyncGroup: r.SyncGroup, Faults: r.Faults,
		Counters: map[string]uint64{
			"received": r.Stats.Received, "sent": r.Stats.Sent, "became_master": r.Stats.BecameMaster, "released_master": r.Stats.ReleasedMaster,
			"priority_zero_received": r.Stats.ZeroReceived, "priority_zero_sent": r.Stats.ZeroSent,
		},
	}
	if r.Source.IsValid() {
		s.Source = r.Source.String()
	}
	for kind, n := range r.Stats.Faults {
		s.Counters["wrong_"+strings.ReplaceAll(string(kind), " ", "_")] = n
	}
	if r.Rival.Addr.IsValid() {
		s.Rival = &RivalStatus{From: r.Rival.Addr, Priority: r.Rival.Priority, At: r.Rival.At}
	}
	return s
}

func (d *Director) virtualStatus(p *poolState, states map[checker.Key]checker.State) VirtualStatus {
	v := VirtualStatus{
		Name: p.vs.Name, Group: p.vs.Group, Services: p.vs.Services, Scheduler: p.vs.Template.Scheduler,
		Quorum: p.state.Quorum, Sum: p.state.Sum, Needed: p.vs.Quorum, Servers: make([]ServerStatus, len(p.vs.RealServers)),
	}
	for _, key := range p.vs.Services {
		v.Service = append(v.Service, key.Text())
	}
	if len(p.vs.RealServers) > 0 {
		v.Forwarding = p.vs.RealServers[0].Destination.Forwarding.String()
	}
	if p.vs.Sorry != nil {
		v.Sorry = &SorryStatus{Name: p.vs.Sorry.Name, Serves: p.state.Sorry}
	}
	for i := range v.Servers {
		v.Servers[i] = d.serverStatus(p, i, states)
	}
	return v
}

func (d *Director) serverStatus(p *poolState, i int, states map[checker.Key]checker.State) ServerStatus {
	rs := &p.vs.RealServers[i]
	s := ServerStatus{
		Name: rs.Name, Address: rs.Destination.Addr, Forwarding: rs.Destination.Forwarding.String(), Alive: p.state.Servers[i].Alive, Configured: rs.Destination.Weight,
		Inhibit: rs.Inhibit, Since: p.since[i], Reason: d.why(p, i), Checks: make([]CheckStatus, len(rs.Checks)),
	}
	if len(p.applied) > 0 {
		for _, dest := range p.applied[0].Destinations {
			if dest.Addr.Addr() == rs.Destination.Addr.Addr() {
				s.Weight = dest.Weight
			}
		}
	}
	if o, ok := d.overrides[p.id(i)]; ok {
		s.Override = &o
	}
	for j := range rs.Checks {
		key := p.checks[i][j]
		state, ok := states[key]
		if !ok {
			state = d.known[key]
		}
		s.Checks[j] = CheckStatus{
			Kind: rs.Checks[j].Kind, Target: rs.Checks[j].Addr, What: what(&rs.Checks[j]), Up: state.Up, HasRun: state.HasRun, Failures: state.Failures,
			Since: state.Since, At: state.Last.At, Took: state.Last.Took, Reason: state.Last.Reason, Weight: state.Weight,
			SharedBy: len(d.byCheck[key]),
		}
	}
	return s
}

// what says what a check asks for, beyond its kind and target.
func what(c *checker.Check) string {
	switch {
	case c.HTTP != nil && len(c.HTTP.URLs) > 0:
		return c.HTTP.URLs[0].Path
	case c.Misc != nil:
		return c.Misc.Command[0]
	case c.File != nil:
		return c.File.Path
	case c.DNS != nil:
		return c.DNS.Type + " " + c.DNS.Name
	case c.Dialog != nil:
		return c.Dialog.Protocol
	}
	return ""
}
