package router

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"drover/internal/config"
	"drover/internal/script"
	"drover/internal/vrrp"
)

// A sight is what is known of something that virtual routers look at.
type sight struct {
	well   bool
	number int    // of a file, whose weight is taken so many times
	why    string // where it is not well
}

// trackers look at interfaces, scripts, files and processes, and tell virtual routers what comes of it.
type trackers struct {
	runner *vrrp.Runner
	log    *slog.Logger
	wake   chan struct{} // the configuration is another

	mu      sync.Mutex // protects what follows
	config  *config.Config
	links   map[string]vrrp.Link
	scripts map[string]*scriptState
	sights  map[string]sight // of files and processes, by "file NAME" and "process NAME"
	told    map[string]string
}

// A scriptState is how often a vrrp_script has ended well or badly, one after the other.
type scriptState struct {
	well  bool
	count int // of the other kind
	why   string
}

func newTrackers(runner *vrrp.Runner, log *slog.Logger) *trackers {
	return &trackers{
		runner: runner, log: log, wake: make(chan struct{}, 1), links: map[string]vrrp.Link{},
		scripts: map[string]*scriptState{}, sights: map[string]sight{}, told: map[string]string{},
	}
}

func (t *trackers) set(c *config.Config, links map[string]vrrp.Link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.config = c
	for name, link := range links {
		t.links[name] = link
	}
	before := t.scripts
	t.scripts = map[string]*scriptState{}
	for _, s := range c.VRRP.Scripts {
		if t.scripts[s.Name] = before[s.Name]; t.scripts[s.Name] == nil {
			t.scripts[s.Name] = &scriptState{well: !s.InitFail, why: "it has not run yet"}
		}
	}
	clear(t.told)
	t.lookAtFiles()
	t.lookAtProcesses()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// link takes what is known of an interface.
func (t *trackers) link(name string, link vrrp.Link) {
	t.mu.Lock()
	t.links[name] = link
	t.mu.Unlock()
	t.tellAll()
}

// lookEvery is how often files and processes are looked at.
const lookEvery = time.Second

// run runs the scripts, each at its interval, and looks at files and processes, until ctx ends.
func (t *trackers) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	stop := func() {}
	defer func() { stop() }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
			stop()
			stop = t.startScripts(ctx, &running)
		case <-ticker.C:
			t.mu.Lock()
			t.lookAtFiles()
			t.lookAtProcesses()
			t.mu.Unlock()
			t.tellAll()
		}
	}
}

// startScripts starts the scripts of the configuration, which stop ends.
func (t *trackers) startScripts(ctx context.Context, running *sync.WaitGroup) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	these, stop := context.WithCancel(ctx)
	global := t.config.Global
	for _, s := range t.config.VRRP.Scripts {
		running.Go(func() { t.runScript(these, &s, &global) })
	}
	return stop
}

func (t *trackers) runScript(ctx context.Context, s *config.TrackScript, g *config.Global) {
	ticker := time.NewTicker(s.Interval)
	defer ticker.Stop()
	for {
		t.judgeScript(ctx, s, g)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (t *trackers) judgeScript(ctx context.Context, s *config.TrackScript, g *config.Global) {
	if s.Script == nil || ctx.Err() != nil {
		return
	}
	c := script.Command{Args: s.Script.Command, User: s.Script.User, Group: s.Script.Group, Timeout: s.Timeout}
	if c.User == "" {
		c.User, c.Group = g.ScriptUser, g.ScriptGroup
	}
	if c.Timeout == 0 {
		c.Timeout = s.Interval
	}
	exit, err := script.Run(ctx, c)
	if ctx.Err() != nil {
		return // ended by us
	}
	well, why := err == nil && exit.Status == 0 && exit.Signal == "" && !exit.TimedOut, exit.String()
	if err != nil {
		why = err.Error()
	}
	t.mu.Lock()
	state := t.scripts[s.Name]
	changed := state != nil && state.ended(well, why, s.Rise, s.Fall)
	t.mu.Unlock()
	if changed {
		if well {
			t.log.Info("VRRP_Script(" + s.Name + ") succeeded")
		} else {
			t.log.Warn("VRRP_Script("+s.Name+") failed", "exit", why)
		}
		t.tellAll()
	}
}

// ended takes how a script has ended; rise times well or fall times badly change what is known.
func (s *scriptState) ended(well bool, why string, rise, fall int) (changed bool) {
	if well == s.well {
		s.count = 0
		return false
	}
	needed := fall
	if well {
		needed = rise
	}
	if s.count++; s.count < needed {
		return false
	}
	s.well, s.count, s.why = well, 0, why
	return true
}

func (t *trackers) lookAtFiles() {
	for _, f := range t.config.VRRP.Files {
		text, err := os.ReadFile(f.Path)
		n, bad := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || bad != nil {
			n = 0 // as keepalived has it for a file that is not there
		}
		t.sights["file "+f.Name] = sight{well: n == 0, number: n, why: fmt.Sprintf("%s says %d", f.Path, n)}
	}
}

func (t *trackers) lookAtProcesses() {
	if len(t.config.VRRP.Processes) == 0 {
		return
	}
	commands := processes()
	for _, p := range t.config.VRRP.Processes {
		n := 0
		for _, words := range commands {
			if matches(&p, words) {
				n++
			}
		}
		well := n >= p.Quorum && (p.QuorumMax < 0 || n <= p.QuorumMax)
		t.sights["process "+p.Name] = sight{well: well, why: fmt.Sprintf("%d of %s run", n, p.Command[0])}
	}
}

// processes gives the command lines of all processes.
func processes() [][]string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well-formed
	var all [][]string
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && len(text) > 0 {
			all = append(all, strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00"))
		}
	}
	return all
}

// matches tells whether a command line is a tracked process: by its name, and its parameters where the configuration has some.
func matches(p *config.TrackProcess, words []string) bool {
	name := words[0]
	if !strings.Contains(p.Command[0], "/") {
		name = filepath.Base(name)
	}
	if name != p.Command[0] {
		return false
	}
	want, have := p.Command[1:], words[1:]
	switch p.Match {
	case "exact":
		return slices.Equal(want, have)
	case "initial":
		return len(have) >= len(want) && slices.Equal(want, have[:len(want)])
	case "partial":
		if len(want) == 0 {
			return true
		}
		last := len(want) - 1
		return len(have) > last && slices.Equal(want[:last], have[:last]) && strings.HasPrefix(have[last], want[last])
	}
	return true
}

// tellAll tells each virtual router what its trackers make of it, where that is new.
func (t *trackers) tellAll() {
	t.mu.Lock()
	type news struct {
		name     string
		priority int
		faults   map[string]string
	}
	var all []news
	if t.config != nil {
		for i := range t.config.VRRP.Instances {
			in := &t.config.VRRP.Instances[i]
			priority, faults := t.judge(in)
			if text := fmt.Sprint(priority, faults); t.told[in.Name] != text {
				t.told[in.Name] = text
				all = append(all, news{in.Name, priority, faults})
			}
		}
	}
	t.mu.Unlock()
	for _, n := range all {
		t.runner.SetTracked(n.name, n.priority, n.faults)
	}
}

// judge gives an instance's priority, and by what has failed why it is in FAULT.
func (t *trackers) judge(in *config.Instance) (priority int, faults map[string]string) {
	priority, faults = in.Priority, map[string]string{}
	if in.Auth != nil && in.Auth.AH {
		faults["auth_type"] = "auth_type AH is not there yet"
	}
	tracks := []*config.Track{&in.Track}
	for i := range t.config.VRRP.Groups {
		if g := &t.config.VRRP.Groups[i]; slices.Contains(g.Members, in.Name) {
			tracks = append(tracks, &g.Track)
		}
	}
	for _, track := range tracks {
		for _, list := range []struct {
			kind string
			of   []config.Tracked
		}{{"interface", track.Interfaces}, {"script", track.Scripts}, {"file", track.Files}, {"process", track.Processes}} {
			for _, tracked := range list.of {
				s := t.sight(list.kind, tracked.Name)
				change, failed := weigh(list.kind, &tracked, s)
				priority += change
				if failed {
					faults[list.kind+" "+tracked.Name] = fmt.Sprintf("%s %s: %s", list.kind, tracked.Name, s.why)
				}
			}
		}
	}
	if in.Priority == vrrp.OwnerPriority {
		return in.Priority, faults
	}
	return min(max(priority, 1), vrrp.OwnerPriority-1), faults
}

func (t *trackers) sight(kind, name string) sight {
	switch kind {
	case "interface":
		link := t.links[name]
		return sight{well: link.Up, why: link.Reason}
	case "script":
		if s := t.scripts[name]; s != nil {
			return sight{well: s.well, why: s.why}
		}
	}
	return t.sights[kind+" "+name]
}

// weigh gives what a tracker adds to a priority. Weight 0 adds nothing, and what is not well is a fault then.
func weigh(kind string, tracked *config.Tracked, s sight) (change int, failed bool) {
	weight, well := tracked.Weight, s.well
	if kind == "file" && weight != 0 {
		if tracked.Reverse {
			weight = -weight
		}
		return weight * s.number, false
	}
	if tracked.Reverse {
		well = !well
	}
	switch {
	case weight == 0:
		return 0, !well
	case weight > 0 && well, weight < 0 && !well:
		return weight, false
	}
	return 0, false
}
