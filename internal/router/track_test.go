package router

import (
	"io"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/config"
	"drover/internal/vrrp"
)

// TestWeigh: a weight of 0 has what is not well be a fault; others add while it is well, or take while it is not.
func TestWeigh(t *testing.T) {
	t.Parallel()
	well, ill := sight{well: true}, sight{}
	for _, c := range []struct {
		kind    string
		weight  int
		reverse bool
		sight
		change int
		failed bool
	}{
		{"script", 0, false, well, 0, false},
		{"script", 0, false, ill, 0, true},
		{"script", 0, true, well, 0, true},
		{"script", 20, false, well, 20, false},
		{"script", 20, false, ill, 0, false},
		{"script", -20, false, well, 0, false},
		{"script", -20, false, ill, -20, false},
		{"interface", 20, true, well, 0, false},
		{"interface", 20, true, ill, 20, false},
		{"file", 0, false, sight{number: 1}, 0, true},
		{"file", 2, false, sight{number: 7}, 14, false},
		{"file", 2, true, sight{number: 7}, -14, false},
	} {
		change, failed := weigh(c.kind, &config.Tracked{Weight: c.weight, Reverse: c.reverse}, c.sight)
		if change != c.change || failed != c.failed {
			t.Errorf("%+v: %d, %v", c, change, failed)
		}
	}
}

// TestScript: so many ends of one kind, one after the other, change what is known.
func TestScript(t *testing.T) {
	t.Parallel()
	s := scriptState{well: true}
	got := ""
	for _, end := range "---+--+++-+-----++++" {
		s.ended(end == '+', "exit status 1", 2, 3)
		got += map[bool]string{true: "+", false: "-"}[s.well]
	}
	if diff := cmp.Diff("++-----++++++----+++", got); diff != "" {
		t.Errorf("rise 2, fall 3 (-want +got):\n%s", diff)
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command []string
		match   string
		process []string
		want    bool
	}{
		{[]string{"nginx"}, "", []string{"/usr/sbin/nginx", "-g", "x"}, true},
		{[]string{"nginx"}, "exact", []string{"/usr/sbin/nginx", "-g"}, false},
		{[]string{"/usr/sbin/nginx"}, "", []string{"nginx"}, false},
		{[]string{"nginx", "-g"}, "initial", []string{"nginx", "-g", "x"}, true},
		{[]string{"nginx", "-g", "dae"}, "partial", []string{"nginx", "-g", "daemon off"}, true},
		{[]string{"nginx", "-g", "dae"}, "partial", []string{"nginx", "-x", "daemon off"}, false},
	} {
		if got := matches(&config.TrackProcess{Command: c.command, Match: c.match}, c.process); got != c.want {
			t.Errorf("%v %s of %v: %v", c.command, c.match, c.process, got)
		}
	}
}

// TestJudge: all that an instance and its group look at makes its priority, which stays between 1 and 254.
func TestJudge(t *testing.T) {
	t.Parallel()
	track := newTrackers(vrrp.NewRunner(vrrp.Options{}), slog.New(slog.NewTextHandler(io.Discard, nil)))
	in := config.Instance{Name: "VI_1", Priority: 100, Track: config.Track{
		Interfaces: []config.Tracked{{Name: "eth1", Weight: -30}, {Name: "eth2"}},
		Files:      []config.Tracked{{Name: "load", Weight: -2}},
	}}
	group := config.SyncGroup{Name: "G", Members: []string{"VI_1"}, Track: config.Track{Scripts: []config.Tracked{{Name: "s", Weight: 10}}}}
	track.config = &config.Config{VRRP: config.VRRP{Instances: []config.Instance{in}, Groups: []config.SyncGroup{group}}}
	track.links = map[string]vrrp.Link{"eth1": {Reason: "is down"}, "eth2": {Up: true}}
	track.scripts = map[string]*scriptState{"s": {well: true}}
	track.sights = map[string]sight{"file load": {number: 5}}
	if priority, faults := track.judge(&in); priority != 100-30-10+10 || len(faults) > 0 {
		t.Errorf("priority %d, faults %v", priority, faults)
	}
	track.sights["file load"] = sight{number: 200}
	track.links["eth2"] = vrrp.Link{Reason: "has no carrier"}
	priority, faults := track.judge(&in)
	if diff := cmp.Diff(map[string]string{"interface eth2": "interface eth2: has no carrier"}, faults); priority != 1 || diff != "" {
		t.Errorf("priority %d, faults (-want +got):\n%s", priority, diff)
	}
	in.Priority = vrrp.OwnerPriority
	if priority, _ := track.judge(&in); priority != vrrp.OwnerPriority {
		t.Errorf("priority %d of who owns the addresses", priority)
	}
}
