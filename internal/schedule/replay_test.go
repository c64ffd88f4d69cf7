package schedule

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/lvs"
)

// A replay repeats a recording with a model in the kernel's place. The lines of a recording are described
// in testdata/edits.sh.
type replay struct {
	flags     lvs.ServiceFlags
	virtual   netip.AddrPort
	scheduler Scheduler
	servers   []Server                  // the newest first
	upper     map[netip.AddrPort]uint32 // thresholds, where one was given
	trash     map[netip.AddrPort]Server // deleted servers; one that is added again has its counts back
	open      []netip.AddrPort          // servers of the held connections, the oldest first
	name      string                    // of the scheduler
}

// do carries out one line. The error of a connect line shows the recorded and the modelled servers.
func (r *replay) do(line string) error {
	command, rest, _ := strings.Cut(line, " ")
	args := strings.Fields(rest)
	switch command {
	case "service":
		return r.service(args)
	case "scheduler":
		if args[0] == r.name {
			return nil
		}
		return r.schedule(args[0])
	case "add", "edit", "delete":
		return r.change(command, args)
	case "connect":
		how, answers, _ := strings.Cut(rest, ": ")
		return r.connect(strings.Fields(how), strings.Fields(answers))
	case "expire":
		for i := range r.servers {
			s := &r.servers[i]
			s.Active, s.Inactive, s.Overloaded = 0, 0, false
		}
		return nil
	case "pass":
		for _, set := range r.scheduler.(*localityReplicated).sets {
			set.changed -= LocalityExpiration + time.Second // in use, but not changed
		}
		return nil
	}
	return fmt.Errorf("unknown command %q", command)
}

// service is "VIP:PORT SCHEDULER [FLAG,...]".
func (r *replay) service(args []string) error {
	*r = replay{upper: map[netip.AddrPort]uint32{}, trash: map[netip.AddrPort]Server{}}
	virtual, err := netip.ParseAddrPort(args[0])
	if err != nil {
		return fmt.Errorf("read VIP: %w", err)
	}
	r.virtual = virtual
	for _, flag := range strings.Split(strings.Join(args[2:], ""), ",") {
		switch flag {
		case "sh-fallback", "mh-fallback":
			r.flags |= lvs.SchedFlag1
		case "sh-port", "mh-port":
			r.flags |= lvs.SchedFlag2
		}
	}
	return r.schedule(args[1])
}

func (r *replay) schedule(name string) error {
	s, ok := New(name, r.flags)
	if !ok {
		return fmt.Errorf("no model of %q", name)
	}
	s.Changed(nil, r.servers)
	r.scheduler, r.name = s, name
	return nil
}

// change is "rN [WEIGHT [UPPER]]".
func (r *replay) change(command string, args []string) error {
	addr := r.address(args[0])
	before := slices.Clone(r.servers)
	at := slices.IndexFunc(r.servers, func(s Server) bool { return s.Addr == addr })
	var weight int
	if command != "delete" {
		w, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("read weight: %w", err)
		}
		weight = w
	}
	switch command {
	case "add":
		s := r.trash[addr]
		delete(r.trash, addr)
		s.Addr, s.LastWeight = addr, 0
		s = s.Reweigh(int32(weight))
		r.servers = slices.Insert(r.servers, 0, s)
		if len(args) > 2 {
			upper, err := strconv.Atoi(args[2])
			if err != nil {
				return fmt.Errorf("read upper threshold: %w", err)
			}
			r.upper[addr] = uint32(upper)
		}
	case "edit":
		r.servers[at] = r.servers[at].Reweigh(int32(weight))
		r.servers[at].Overloaded = false // ipvsadm -e without -x takes the threshold away
		delete(r.upper, addr)
	case "delete":
		r.trash[addr] = r.servers[at]
		r.servers = slices.Delete(r.servers, at, at+1)
	}
	r.scheduler.Changed(before, r.servers)
	return nil
}

// connect is "closed|hold|windowN SOURCES PORT". Window N holds the connections and closes the oldest when
// more than N are open.
func (r *replay) connect(args, recorded []string) error {
	sources, err := expand(args[1])
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(args[2])
	if err != nil {
		return fmt.Errorf("read port: %w", err)
	}
	var modelled []string
	for n := range recorded {
		client := netip.AddrPortFrom(sources[n%len(sources)], uint16(port+n))
		i, ok := r.scheduler.Pick(r.servers, Packet{
			Client: client, Virtual: r.virtual, Deleted: slices.Collect(maps.Values(r.trash)),
		})
		if !ok {
			modelled = append(modelled, "ERR")
			continue
		}
		modelled = append(modelled, name(r.servers[i].Addr))
		r.count(&r.servers[i], args[0])
	}
	for n, s := range recorded {
		recorded[n], _, _ = strings.Cut(s, ":") // ERR:connection
	}
	if !slices.Equal(recorded, modelled) {
		return fmt.Errorf("connect %s\n  kernel %s\n  model  %s", strings.Join(args, " "),
			strings.Join(recorded, " "), strings.Join(modelled, " "))
	}
	return nil
}

// count notes a new connection to a server, in the way that the recording treats them.
func (r *replay) count(s *Server, treatment string) {
	if treatment == "closed" {
		s.Inactive++
	} else {
		s.Active++
		r.open = append(r.open, s.Addr)
	}
	if upper := r.upper[s.Addr]; upper > 0 && s.Active+s.Inactive >= upper {
		s.Overloaded = true
	}
	window, err := strconv.Atoi(strings.TrimPrefix(treatment, "window"))
	if err == nil && len(r.open) > window {
		oldest := slices.IndexFunc(r.servers, func(s Server) bool { return s.Addr == r.open[0] })
		r.servers[oldest].Active--
		r.servers[oldest].Inactive++
		r.open = r.open[1:]
	}
}

// address makes an address of the name of a recorded server, "r1". It is the recorded one, which mh hashes:
// runs.txt is of servers 10.2.0.1 to .4, edits.txt of 203.0.113.1 on and 2001:db8:2::1 on.
func (r *replay) address(name string) netip.AddrPort {
	n, _ := strconv.Atoi(strings.TrimPrefix(name, "r"))
	base := netip.MustParseAddr("203.0.113.0")
	switch {
	case r.virtual.Addr().Is6():
		base = netip.MustParseAddr("2001:db8:2::")
	case r.virtual.Addr().As4()[0] == 10:
		base = netip.MustParseAddr("10.2.0.0")
	}
	b := base.AsSlice()
	b[len(b)-1] = byte(n)
	addr, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr, 80)
}

// name is the opposite of address.
func name(addr netip.AddrPort) string {
	b := addr.Addr().AsSlice()
	return fmt.Sprintf("r%d", b[len(b)-1])
}

// expand reads a list of sources: "198.51.100.1+3,198.51.100.9" is .1, .2, .3 and .9.
func expand(list string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for _, part := range strings.Split(list, ",") {
		first, count, ok := strings.Cut(part, "+")
		addr, err := netip.ParseAddr(first)
		if err != nil {
			return nil, fmt.Errorf("read source: %w", err)
		}
		n := 1
		if ok {
			if n, err = strconv.Atoi(count); err != nil {
				return nil, fmt.Errorf("read number of sources: %w", err)
			}
		}
		for ; n > 0; n-- {
			addrs = append(addrs, addr)
			addr = addr.Next()
		}
	}
	return addrs, nil
}
