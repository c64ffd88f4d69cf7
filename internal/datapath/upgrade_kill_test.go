package datapath

import (
	"slices"
	"strings"
	"testing"
)

// killed is what the steps of an upgrade panic with where a test ends it.
type killed string

// kill begins an upgrade that ends, as by kill -9, after a step.
func (d *installed) kill(after string) {
	d.t.Helper()
	defer func() {
		if p := recover(); p != killed(after) {
			d.t.Fatalf("not killed after %q: %v", after, p)
		}
	}()
	_, err := d.run(d.spec(), true, func(what string) {
		if what == after {
			panic(killed(what))
		}
	})
	must(d.t, err)
}

// steps are those of an upgrade; of many that are alike the first and the last.
func (d *installed) steps() (all []string) {
	d.t.Helper()
	_, err := d.run(d.spec(), true, func(what string) {
		n := len(all)
		kind := what
		if before, _, ok := strings.Cut(what, programPrefix); ok {
			kind = before + programPrefix
		}
		if n >= 2 && strings.HasPrefix(all[n-1], kind) && strings.HasPrefix(all[n-2], kind) {
			all = all[:n-1]
		}
		all = append(all, what)
	})
	must(d.t, err)
	return all
}

// TestUpgradeKilled ends an upgrade after each of its steps. The data path works on, and each of the
// commands that come next mends it.
func TestUpgradeKilled(t *testing.T) {
	commands := []struct {
		name string
		run  func(d *installed) error
	}{
		{"upgrade", func(*installed) error { _, err := Upgrade(false); return err }},
		{"forced upgrade", func(*installed) error { _, err := Upgrade(true); return err }},
		{"change", func(d *installed) error {
			table, err := Open(true)
			if err != nil {
				return err
			}
			if err := table.Close(); err != nil {
				return err
			}
			_, err = Upgrade(false) // what was only prepared is left lying until then
			return err
		}},
		{"load", func(*installed) error {
			if _, err := Load(Options{Interfaces: []string{frontName}}); err != nil {
				return err
			}
			_, err := Upgrade(false)
			return err
		}},
		{"unload and load", func(d *installed) error {
			if err := Unload(); err != nil {
				return err
			}
			d.load()
			return nil
		}},
	}
	d := install(t)
	steps := d.steps()
	want := []string{
		"pin stages", "pin program_answer_error", "pin all", "link back", "link front", "timer",
		"rename next_program_answer_error", "rename next_stages", "rename next_program_drover_xdp",
	}
	for _, step := range want {
		if !slices.Contains(steps, step) {
			t.Fatalf("steps %q lack %q", steps, step)
		}
	}
	for i, step := range steps {
		d.kill(step)
		when := "killed after " + step
		d.works(when)
		d.turns(when)
		if table, err := Open(false); err != nil {
			t.Errorf("%s: read: %v", when, err)
		} else {
			must(t, table.Close())
		}
		if _, err := ReadStatus(); err != nil {
			t.Errorf("%s: status: %v", when, err)
		}
		next := commands[i%len(commands)]
		if err := next.run(d); err != nil {
			t.Fatalf("%s: %s: %v", when, next.name, err)
		}
		d.whole(when + ", then " + next.name)
	}
	t.Logf("killed after %q", steps)
}

// TestUpgradeKilledTwice: whoever carries on may be killed too.
func TestUpgradeKilledTwice(t *testing.T) {
	d := install(t)
	d.kill("link " + backName) // the first of two
	for _, step := range []string{"link " + backName, "timer", "rename " + nextPrefix + directorMapStages} {
		d.killMending(step)
		d.works("killed again after " + step)
		d.turns("killed again after " + step)
	}
	if _, err := Upgrade(false); err != nil {
		t.Fatal(err)
	}
	d.whole("killed four times")
}

// killMending carries an upgrade on, and ends that after a step.
func (d *installed) killMending(after string) {
	d.t.Helper()
	defer func() {
		if p := recover(); p != killed(after) {
			d.t.Fatalf("not killed after %q: %v", after, p)
		}
	}()
	s := successor{d.folder, func(what string) {
		if what == after {
			panic(killed(what))
		}
	}}
	must(d.t, s.mend())
}
