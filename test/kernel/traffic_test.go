//go:build kernel61

package kernel

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// manyConnections is the capacity of Drover's table where connections of many cases come together.
const manyConnections = 1 << 16

// batch is how many cases are run before their counters are compared, for which ip_vs needs time.
const batch = 8

// TestTraffic sends the same packets through both, while servers come, go and change, and compares each frame that
// is sent on, and the connections, states and counters that are left.
func TestTraffic(t *testing.T) {
	p := newPair(t, manyConnections)
	t.Run("kept cases", p.replayCases)
	t.Run("recorded schedulers", p.repeatRuns)
	t.Run("made up", p.makeUpTraffic)
}

func (p *pair) makeUpTraffic(t *testing.T) {
	seed := seedOf(t)
	begin, cases, failures := time.Now(), 0, 0
	for budget := budgetOf(t, trafficTime); failures < maxFailures && (!budget.over() || p.steps < 2*leastSteps); {
		must(t, p.flush())
		bases := map[int]testCase{}
		for len(bases) < batch && failures < maxFailures {
			c := testCase{caseName("traffic", seed+uint64(cases)), traffic(seed + uint64(cases))}
			cases++
			base := p.freshPorts()
			err := p.converse(base, c.lines)
			must(t, p.unset()) // the next case's connections would feel it
			if err != nil {
				if p.comesAgain(t, c, err, p.trafficAlone) {
					p.report(t, c, err, p.trafficAlone)
					failures++
				}
				must(t, p.unset())
				clear(bases) // what they had counted has gone with the further runs
				continue
			}
			bases[base] = c
		}
		for base, c := range bases {
			err := p.compareCounters(base)
			if err == nil {
				continue
			}
			if p.comesAgain(t, c, err, p.trafficAlone) {
				p.report(t, c, err, p.trafficAlone)
				failures++
			}
			must(t, p.unset())
			break // what the others had counted has gone with the further runs
		}
	}
	p.done(t, "traffic", begin, cases)
}

// trafficAlone does all that is done to a case, to this one alone.
func (p *pair) trafficAlone(all []string) error {
	if err := p.flush(); err != nil {
		return err
	}
	base := p.freshPorts()
	if err := p.converse(base, all); err != nil {
		return err
	}
	return p.compareCounters(base)
}

// converse runs the steps of a case with ports from base on, and compares its servers and connections.
func (p *pair) converse(base int, all []string) error {
	err := p.each(base, all, func(s step) error {
		if form := strings.Join(s.args, " "); strings.HasPrefix(form, servicesForm) {
			p.steps++
			return p.compareServices(base, form)
		}
		return p.do(s)
	})
	if err != nil {
		return err
	}
	return p.compareConnections(base)
}

// compareConnections compares the lines of -Lnc of a case, by its ports. ip_vs's listing is read by pages, and may
// miss a line if a connection that stands before it expires meanwhile; and what expire_nodest_conn ends, Drover's
// timer ends in a pass over its table, which takes seconds. So a difference must stay.
func (p *pair) compareConnections(base int) error {
	keep := func(line string) bool { return hasPort(line, base) }
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		kernel, drover, err := p.ask(func(d *director) (result, error) { return d.line("-Lnc") })
		if err != nil {
			return err
		}
		lines := differences(connections(kernel.Stdout, keep), connections(drover.Stdout, keep))
		if len(lines) == 0 {
			return nil
		}
		if time.Since(begin) > countersTime {
			return differ("connections (-ip_vs +drover):\n%s", strings.Join(lines, "\n"))
		}
	}
}

// hasPort tells whether a line names a port of a case.
func hasPort(line string, base int) bool {
	return strings.HasPrefix(line, fmt.Sprintf("FWM  %d ", base)) || strings.Contains(line, fmt.Sprintf(":%d ", base)) || strings.Contains(line, fmt.Sprintf(":%d ", base+2))
}

// countersTime is how long ip_vs may take to show what it has counted: it adds up every two seconds.
const countersTime = 15 * time.Second

// The listings by which the services of a case are compared.
const (
	servicesForm = "-Ln --nosort"
	countersForm = servicesForm + " --stats --exact"
)

// compareCounters compares the services of a case, with their active and inactive connections and their
// counters.
func (p *pair) compareCounters(base int) error {
	return firstError(p.compareServices(base, servicesForm), p.compareServices(base, countersForm))
}

// compareServices compares a listing of the services of a case: those of others have connections that expire
// meanwhile. So may its own, and counters come late, so it is given some time to become the same.
func (p *pair) compareServices(base int, form string) error {
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		kernel, drover, err := p.ask(func(d *director) (result, error) { return d.line(form) })
		if err != nil {
			return err
		}
		diff := cmp.Diff(withoutDirect(ofCase(kernel.Stdout, base), form, base), withoutDirect(ofCase(drover.Stdout, base), form, base))
		if diff == "" {
			return nil
		}
		if time.Since(begin) > countersTime {
			return differ("%s (-ip_vs +drover):\n%s", form, diff)
		}
	}
}

// ofCase gives the services of a case in a listing, each with its servers.
func ofCase(listing string, base int) []string {
	return slices.DeleteFunc(blocks(listing), func(b string) bool {
		first, _, _ := strings.Cut(b, "\n")
		return !isService(b) || !hasPort(first+" ", base)
	})
}

// withoutDirect leaves out what servers that answer clients directly are said to have answered, and so their
// services. A director does not see that. But where a SYN ends a closed connection and finds no server, ip_vs
// takes its host's own ICMP error for an answer on the connection it is about to free, and counts it. Drover
// does not (decided). Their port is the service's, as -g and -i have it.
func withoutDirect(services []string, form string, base int) []string {
	if form != countersForm {
		return services
	}
	direct := regexp.MustCompile(fmt.Sprintf(`(?m)^  -> \S+:%d `, base))
	for i, service := range services {
		if strings.Contains(service, "\n  -> ") && !direct.MatchString(service) {
			continue
		}
		var text strings.Builder
		for line := range strings.Lines(service) {
			fields := strings.Fields(line)
			if isService(line) || direct.MatchString(line) {
				fields[4], fields[6] = "-", "-" // OutPkts, OutBytes
			}
			text.WriteString(strings.Join(fields, " ") + "\n")
		}
		services[i] = text.String()
	}
	return services
}
