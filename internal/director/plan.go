package director

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"drover/internal/config"
	"drover/internal/lvs"
)

// A Plan is what another configuration would change.
type Plan struct {
	Changes     []PlannedChange `json:"changes"`
	Unchanged   int             `json:"unchanged"` // virtual servers
	VIPsNew     []netip.Addr    `json:"vips_new"`
	VIPsGone    []netip.Addr    `json:"vips_gone"`
	Connections int             `json:"connections_lost"`
	Persistent  int             `json:"persistent_clients_moved"`
}

// A PlannedChange is a virtual server that would be another.
type PlannedChange struct {
	Name        string   `json:"name"`
	Change      string   `json:"change"` // new, gone, changed
	Details     []string `json:"details,omitempty"`
	Connections int      `json:"connections_lost"`         // that would end
	Persistent  int      `json:"persistent_clients_moved"` // that would get another server
}

// Live reads a service with its connections. lvs.ErrNoService if it is not there.
type Live func(lvs.ServiceKey) (lvs.ServiceState, error)

// MakePlan compares what a director has with a configuration that it could get.
func MakePlan(now *Snapshot, next *config.Config, live Live) (*Plan, error) {
	plan := &Plan{Changes: []PlannedChange{}}
	was := map[string]*VirtualStatus{}
	for i := range now.VirtualServers {
		was[now.VirtualServers[i].Name] = &now.VirtualServers[i]
	}
	wanted := map[string]bool{}
	for i := range next.VirtualServers {
		v := &next.VirtualServers[i]
		wanted[v.Name] = true
		change := PlannedChange{Name: v.Name, Change: "new", Details: []string{plural(len(v.RealServers), "real server")}}
		if old := was[v.Name]; old != nil {
			var err error
			if change, err = compareVirtual(old, v, live); err != nil {
				return nil, err
			}
			if len(change.Details) == 0 {
				plan.Unchanged++
				continue
			}
		}
		plan.add(change)
	}
	for i := range now.VirtualServers {
		v := &now.VirtualServers[i]
		if wanted[v.Name] {
			continue
		}
		change := PlannedChange{Name: v.Name, Change: "gone"}
		for _, service := range v.Service {
			if err := change.loseService(service, live); err != nil {
				return nil, err
			}
		}
		plan.add(change)
	}
	plan.VIPsNew, plan.VIPsGone = vips(now, next)
	return plan, nil
}

func (p *Plan) add(c PlannedChange) {
	p.Changes = append(p.Changes, c)
	p.Connections += c.Connections
	p.Persistent += c.Persistent
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func compareVirtual(old *VirtualStatus, v *config.VirtualServer, live Live) (PlannedChange, error) {
	c := PlannedChange{Name: v.Name, Change: "changed"}
	if old.Scheduler != v.Template.Scheduler {
		c.say("scheduler %s becomes %s", old.Scheduler, v.Template.Scheduler)
	}
	if old.Needed != v.Quorum {
		c.say("quorum %d becomes %d", old.Needed, v.Quorum)
	}
	oldSorry, newSorry := "", ""
	if old.Sorry != nil {
		oldSorry = old.Sorry.Name
	}
	if v.Sorry != nil {
		newSorry = v.Sorry.Name
	}
	if oldSorry != newSorry {
		c.say("sorry server %s becomes %s", orNone(oldSorry), orNone(newSorry))
	}
	if err := c.compareServices(old, v, live); err != nil {
		return c, err
	}
	return c, c.compareServers(old, v, live)
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func (c *PlannedChange) say(format string, args ...any) {
	c.Details = append(c.Details, fmt.Sprintf(format, args...))
}

// compareServices compares which services the pool has; a group can have many.
func (c *PlannedChange) compareServices(old *VirtualStatus, v *config.VirtualServer, live Live) error {
	var names []string
	for _, key := range v.Services {
		names = append(names, key.Text())
		if !slices.Contains(old.Service, key.Text()) {
			c.say("new service %s", key.Text())
		}
	}
	for _, service := range old.Service {
		if slices.Contains(names, service) {
			continue
		}
		if err := c.loseService(service, live); err != nil {
			return err
		}
		c.say("service %s goes", service)
	}
	return nil
}

func (c *PlannedChange) compareServers(old *VirtualStatus, v *config.VirtualServer, live Live) error {
	was := map[string]*ServerStatus{}
	for i := range old.Servers {
		was[old.Servers[i].Name] = &old.Servers[i]
	}
	wanted := map[string]bool{}
	for i := range v.RealServers {
		r := &v.RealServers[i]
		wanted[r.Name] = true
		s := was[r.Name]
		if s == nil {
			c.say("new server %s", r.Name)
			continue
		}
		if s.Configured != r.Destination.Weight {
			c.say("server %s: weight %d becomes %d", r.Name, s.Configured, r.Destination.Weight)
		}
		c.compareChecks(s, r)
		if s.Forwarding != r.Destination.Forwarding.String() {
			n, clients, err := c.loseServer(old, s, live)
			if err != nil {
				return err
			}
			c.say("server %s: %s becomes %s%s", r.Name, s.Forwarding, r.Destination.Forwarding, lost(n, clients))
		}
	}
	for i := range old.Servers {
		s := &old.Servers[i]
		if wanted[s.Name] {
			continue
		}
		n, clients, err := c.loseServer(old, s, live)
		if err != nil {
			return err
		}
		c.say("server %s goes%s", s.Name, lost(n, clients))
	}
	return nil
}

// compareChecks says which checks of a server would begin and end.
func (c *PlannedChange) compareChecks(s *ServerStatus, r *config.RealServer) {
	var names []string
	for i := range r.Checks {
		names = append(names, fmt.Sprintf("%s %s %s", r.Checks[i].Kind, r.Checks[i].Addr, what(&r.Checks[i])))
	}
	begin, end := 0, 0
	for i := range s.Checks {
		name := fmt.Sprintf("%s %s %s", s.Checks[i].Kind, s.Checks[i].Target, s.Checks[i].What)
		if j := slices.Index(names, name); j >= 0 {
			names = slices.Delete(names, j, j+1)
		} else {
			end++
		}
	}
	begin = len(names)
	if begin+end > 0 {
		c.say("server %s: %s begin, %s end", s.Name, plural(begin, "check"), plural(end, "check"))
	}
}

func lost(connections, clients int) string {
	var words []string
	if connections > 0 {
		words = append(words, plural(connections, "connection")+" would end")
	}
	if clients > 0 {
		words = append(words, plural(clients, "persistent client")+" would move")
	}
	if len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words, ", ")
}

// loseServer counts what a server has in all services of its pool.
func (c *PlannedChange) loseServer(v *VirtualStatus, s *ServerStatus, live Live) (connections, clients int, err error) {
	for _, service := range v.Service {
		state, err := find(service, live)
		if err != nil {
			return 0, 0, err
		}
		for _, d := range state.Destinations {
			if d.Addr == s.Address || d.Forwarding != lvs.Masquerade && d.Addr.Addr() == s.Address.Addr() {
				connections += int(d.ActiveConns)
				clients += int(d.PersistConns)
			}
		}
	}
	c.Connections += connections
	c.Persistent += clients
	return connections, clients, nil
}

func (c *PlannedChange) loseService(service string, live Live) error {
	state, err := find(service, live)
	if err != nil {
		return err
	}
	connections, clients := 0, 0
	for _, d := range state.Destinations {
		connections += int(d.ActiveConns)
		clients += int(d.PersistConns)
	}
	c.Connections += connections
	c.Persistent += clients
	if text := lost(connections, clients); text != "" {
		c.say("%s%s", service, text)
	}
	return nil
}

// find reads a service by the name that a Snapshot has for it.
func find(service string, live Live) (lvs.ServiceState, error) {
	key, err := lvs.ParseServiceKey(service)
	if err != nil {
		return lvs.ServiceState{}, err
	}
	state, err := live(key)
	if errors.Is(err, lvs.ErrNoService) || errors.Is(err, lvs.ErrServiceNotDefined) {
		return lvs.ServiceState{}, nil
	}
	return state, err
}

// vips gives the addresses that are served next and not now, and the other way round.
func vips(now *Snapshot, next *config.Config) (added, gone []netip.Addr) {
	was, is := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for i := range now.VirtualServers {
		for _, service := range now.VirtualServers[i].Service {
			if key, err := lvs.ParseServiceKey(service); err == nil && key.Mark == 0 {
				was[key.Addr.Addr()] = true
			}
		}
	}
	for i := range next.VirtualServers {
		for _, key := range next.VirtualServers[i].Services {
			if key.Mark == 0 {
				is[key.Addr.Addr()] = true
			}
		}
	}
	for a := range is {
		if !was[a] {
			added = append(added, a)
		}
	}
	for a := range was {
		if !is[a] {
			gone = append(gone, a)
		}
	}
	slices.SortFunc(added, netip.Addr.Compare)
	slices.SortFunc(gone, netip.Addr.Compare)
	return added, gone
}
