package vrrp

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var dawn = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// play has a machine live through events, one on a line: a millisecond and what comes then. In between it is driven whenever
// something is due, unless it sleeps. The result is what it did, and when.
//
//	0 begin           500 hear PRIORITY [SOURCE [INTERVAL]]    700 fault    800 well
//	900 priority N    1000 sleep (until the next event)        1100 stop    2000 (nothing)
func play(t *testing.T, m *Machine, events string) string {
	t.Helper()
	var out []string
	now := dawn
	note := func() {
		for _, act := range m.Take() {
			at := fmt.Sprint(now.Sub(dawn).Round(time.Millisecond).Milliseconds())
			switch act.Kind {
			case Send:
				out = append(out, fmt.Sprintf("%s send %d", at, act.Priority))
			case Announce:
				out = append(out, at+" announce")
			case Become:
				out = append(out, fmt.Sprintf("%s %s", at, act.To))
			}
		}
	}
	asleep := false
	for line := range strings.Lines(events) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		ms, err := strconv.Atoi(words[0])
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		at := dawn.Add(time.Duration(ms) * time.Millisecond)
		for !asleep && !m.Due().IsZero() && !m.Due().After(at) {
			now = m.Due()
			m.Tick(now)
			note()
		}
		now = at
		switch word := append(words, "")[1]; word {
		case "begin":
			m.Begin(now)
		case "hear":
			priority, err := strconv.ParseUint(words[2], 10, 8)
			if err != nil {
				t.Fatal(err)
			}
			source, interval := "192.0.2.2", m.settings.Interval
			if len(words) > 3 {
				source = words[3]
			}
			if len(words) > 4 {
				if interval, err = time.ParseDuration(words[4]); err != nil {
					t.Fatal(err)
				}
			}
			m.Hear(now, &Advert{Version: m.settings.Version, Priority: uint8(priority), Interval: interval}, addr(source))
		case "fault":
			m.SetFault(now, true, "eth0 is down")
		case "well":
			m.SetFault(now, false, "eth0 is up")
		case "priority":
			n, err := strconv.Atoi(words[2])
			if err != nil {
				t.Fatal(err)
			}
			m.SetPriority(n)
		case "sleep":
			asleep = true
		case "stop":
			m.Stop()
		case "":
		default:
			t.Fatalf("what is %q?", line)
		}
		note()
		if asleep && append(words, "")[1] != "sleep" { // awake: what came is heard before the clock is looked at
			asleep = false
			m.Tick(now)
			note()
		}
	}
	return strings.Join(out, "\n")
}

func TestMachine(t *testing.T) {
	t.Parallel()
	v2 := Settings{Version: 2, Priority: 100, Interval: time.Second, DownAdverts: 3, Source: addr("192.0.2.1")}
	with := func(change func(*Settings)) Settings {
		s := v2
		change(&s)
		return s
	}
	for _, c := range []struct {
		name         string
		settings     Settings
		events, want string
	}{
		{
			"nobody is there: down interval is 3 adverts and a skew of 156/256 s", v2,
			"0 begin\n4700",
			"0 BACKUP\n3609 send 100\n3609 MASTER\n4609 send 100",
		},
		{
			"state MASTER waits for little more than an advert", with(func(s *Settings) { s.StartMaster = true }),
			"0 begin\n1100",
			"0 BACKUP\n1004 send 100\n1004 MASTER",
		},
		{"who owns the addresses waits for nobody", with(func(s *Settings) { s.Priority = 255 }), "0 begin\n100", "0 send 255\n0 MASTER"},
		{
			"a master of higher priority is followed, until it is silent", v2,
			"0 begin\n1000 hear 150\n2000 hear 150\n5700",
			"0 BACKUP\n5609 send 100\n5609 MASTER",
		},
		{
			"a master that gives up is followed at once", v2,
			"0 begin\n1000 hear 150\n1500 hear 0\n2200",
			"0 BACKUP\n2109 send 100\n2109 MASTER",
		},
		{
			"a master of lower priority is not heeded", v2,
			"0 begin\n1000 hear 50\n2000 hear 50\n3700",
			"0 BACKUP\n3609 send 100\n3609 MASTER",
		},
		{
			"but with nopreempt it is", with(func(s *Settings) { s.NoPreempt = true }),
			"0 begin\n1000 hear 50\n2000 hear 50\n3000 hear 50\n4000 hear 50\n7700",
			"0 BACKUP\n7609 send 100\n7609 MASTER",
		},
		{
			"with preempt_delay for so long", with(func(s *Settings) { s.PreemptDelay = 5 * time.Second }),
			"0 begin\n1000 hear 50\n2000 hear 50\n3000 hear 50\n4000 hear 50\n5000 hear 50\n6000 hear 50\n7000 hear 50\n8000 hear 50\n8700",
			"0 BACKUP\n8609 send 100\n8609 MASTER",
		},
		{
			"equal priority: a backup stays, the higher address wins between masters", v2,
			"0 begin\n3700\n3800 hear 100 192.0.2.2\n3900 hear 100 192.0.2.2\n5000",
			"0 BACKUP\n3609 send 100\n3609 MASTER\n3800 BACKUP",
		},
		{
			"and the lower gets an answer", v2,
			"0 begin\n3700\n3800 hear 100 192.0.2.0\n4000",
			"0 BACKUP\n3609 send 100\n3609 MASTER\n3800 send 100\n3800 announce",
		},
		{
			"unless lower_prio_no_advert", with(func(s *Settings) { s.LowerQuiet = true }),
			"0 begin\n3700\n3800 hear 50\n4000",
			"0 BACKUP\n3609 send 100\n3609 MASTER",
		},
		{
			"higher_prio_send_advert", with(func(s *Settings) { s.HigherSend = true }),
			"0 begin\n3700\n3800 hear 200\n4000",
			"0 BACKUP\n3609 send 100\n3609 MASTER\n3800 send 100\n3800 BACKUP",
		},
		{
			"a fault gives up, and is followed by a whole down interval", v2,
			"0 begin\n3700\n3800 fault\n9000 well\n12700",
			"0 BACKUP\n3609 send 100\n3609 MASTER\n3800 send 0\n3800 FAULT\n9000 BACKUP\n12609 send 100\n12609 MASTER",
		},
		{"with a fault from the beginning", v2, "0 fault\n0 begin\n5000", "0 FAULT"},
		{
			"another priority begins no timer anew, and counts from the next advert on", v2,
			"0 begin\n1000 hear 150\n1500 priority 200\n2000 hear 150\n4700",
			"0 BACKUP\n4609 send 200\n4609 MASTER",
		},
		{"stopped", v2, "0 begin\n3700\n3800 stop\n9000", "0 BACKUP\n3609 send 100\n3609 MASTER\n3800 send 0\n3800 INIT"},
		{
			"version 3 follows the master's interval", with(func(s *Settings) { s.Version, s.Interval = 3, 100*time.Millisecond }),
			"0 begin\n100 hear 150 192.0.2.2 200ms\n900",
			"0 BACKUP\n822 send 100\n822 MASTER",
		},
		{
			"a master that was held up stands back from who took over", v2,
			"0 begin\n3700 sleep\n9000 hear 50\n9500 hear 50\n13000",
			"0 BACKUP\n3609 send 100\n3609 MASTER\n9000 BACKUP\n12609 send 100\n12609 MASTER",
		},
		{
			"and goes on where nobody has", v2,
			"0 begin\n3700 sleep\n9000\n9700",
			"0 BACKUP\n3609 send 100\n3609 MASTER\n9000 send 100",
		},
		{
			"a backup that was held up waits for one more advert", v2,
			"0 begin\n100 sleep\n9000\n10000 hear 150\n13700",
			"0 BACKUP\n13609 send 100\n13609 MASTER",
		},
		{
			"and takes over if none comes", v2,
			"0 begin\n100 sleep\n9000\n10700",
			"0 BACKUP\n10609 send 100\n10609 MASTER",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, play(t, NewMachine(c.settings), c.events)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
