package datapath

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

// errKilled stops a commit as a signal does: nothing more is written.
var errKilled = errors.New("killed")

// crashes are what is killed, on the services of crashBase.
var crashes = []struct {
	name string
	run  func(*Table) error
}{
	{"add a service", func(c *Table) error { return c.AddService(with(ruleNoKey, "wlc")) }},
	{"delete a service", func(c *Table) error { return c.DeleteService(ruleKey) }},
	{"edit a service", func(c *Table) error { return c.EditService(with(ruleKey, "wlc")) }},
	{"add a server", func(c *Table) error { return c.AddDestination(ruleKey, at("198.51.100.12:80")) }},
	{"delete a server", func(c *Table) error { return c.DeleteDestination(ruleKey, ruleServer) }},
	{"add a server from the trash", func(c *Table) error { return c.AddDestination(ruleKey, at("198.51.100.13:80")) }},
	{"edit a server", func(c *Table) error {
		return c.EditDestination(ruleKey, at("198.51.100.10:80", func(d *lvs.Destination) {
			d.Weight, d.Forwarding = 7, lvs.DirectRoute
		}))
	}},
	{"edit two servers of one service", func(c *Table) error {
		heavy := func(d *lvs.Destination) { d.Weight = 9 }
		return errors.Join(c.EditDestination(ruleKey, at("198.51.100.10:80", heavy)),
			c.EditDestination(ruleKey, at("198.51.100.11:80", heavy)))
	}},
	{"flush", (*Table).Flush},
	{"zero", func(c *Table) error { return c.Zero(nil) }},
	{"the same table once more", func(c *Table) error { return errors.Join(c.Flush(), crashBase(c, 1)) }},
	{"other weights", func(c *Table) error { return errors.Join(c.Flush(), crashBase(c, 3)) }},
	{"some of each", func(c *Table) error {
		return errors.Join(c.DeleteService(ruleKey6), c.AddService(with(ruleNoKey, "sed")),
			c.AddDestination(ruleNoKey, at("198.51.100.12:80")), c.DeleteDestination(ruleKey, ruleServer),
			c.AddDestination(ruleKey, at("198.51.100.13:80")))
	}},
}

// crashBase is two services with two servers each.
func crashBase(c *Table, weight int32) error {
	weighs := func(d *lvs.Destination) { d.Weight = weight }
	err := errors.Join(c.AddService(with(ruleKey, "wrr")), c.AddService(with(ruleKey6, "rr")))
	for _, host := range []string{"10", "11"} {
		err = errors.Join(err, c.AddDestination(ruleKey, at("198.51.100."+host+":80", weighs)),
			c.AddDestination(ruleKey6, at("[2001:db8:3::"+host+"]:80", weighs)))
	}
	return err
}

// crashScene makes crashBase anew, with connections, and a third server in the trash.
func (r *rig) crashScene(t *testing.T) {
	t.Helper()
	must(t, r.table.Flush())
	r.expireAll()
	r.emptyTrash()
	must(t, crashBase(r.table, 1))
	must(t, r.table.AddDestination(ruleKey, at("198.51.100.13:80")))
	for i := range 6 {
		client := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.7"), uint16(1024+i))
		r.clientPackets(flow{lvs.TCP, client, ruleVIP}, flagSYN, flagACK)
	}
	must(t, r.table.DeleteDestination(ruleKey, netip.MustParseAddrPort("198.51.100.13:80")))
}

// killAt runs commands as one transaction and kills it at a step, or with -1 not. It gives the steps.
func (r *rig) killAt(t *testing.T, step int, run func(*Table) error) (steps []string) {
	t.Helper()
	r.table.stop = func(name string) {
		if len(steps) == step {
			panic(errKilled)
		}
		steps = append(steps, name)
	}
	defer func() {
		r.table.stop = nil
		if killed := recover(); killed != nil && killed != any(errKilled) {
			panic(killed)
		}
	}()
	must(t, r.table.Begin())
	must(t, run(r.table))
	must(t, r.table.Commit())
	return steps
}

// TestKilledAtEachStep kills commands and transactions between any two steps of their commit. Who reads then
// finds the old table or the new; the next command, another process, finds nothing that is lost or counted
// twice.
func TestKilledAtEachStep(t *testing.T) {
	r := newRig(t, 256)
	for _, test := range crashes {
		r.crashScene(t)
		before := r.listing()
		steps := r.killAt(t, -1, test.run)
		after := r.listing()
		inForce := false
		for step, name := range steps {
			inForce = inForce || name == "in force"
			r.crashScene(t)
			r.killAt(t, step, test.run)
			what := fmt.Sprintf("%s, killed at %d, %q", test.name, step, name)
			want := before
			if inForce {
				want = after
			}
			r.reopen(t)
			if diff := cmp.Diff(want, r.listing(), compareAddrs); diff != "" && test.name != "zero" {
				t.Errorf("%s: services (-want +got):\n%s", what, diff)
			}
			must(t, r.table.takeStock())
			if diff := cmp.Diff(want, r.listing(), compareAddrs); diff != "" && test.name != "zero" {
				t.Errorf("%s: services repaired (-want +got):\n%s", what, diff)
			}
			if wrong := append(r.auditControl(), r.auditCounts()...); wrong != nil {
				t.Errorf("%s: %q", what, wrong)
			}
		}
		if !inForce {
			t.Errorf("%s: steps %q: it was never put in force", test.name, steps)
		}
	}
}

// TestKilledAmongServices kills a transaction that has written some of the services.
func TestKilledAmongServices(t *testing.T) {
	r := newRig(t, 64)
	r.crashScene(t)
	before := r.listing()
	must(t, r.table.putServices(r.table.stored, r.table.epoch()+1))
	r.reopen(t)
	if diff := cmp.Diff(before, r.listing(), compareAddrs); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	must(t, r.table.takeStock())
	if wrong := r.auditControl(); wrong != nil {
		t.Errorf("%q", wrong)
	}
}
