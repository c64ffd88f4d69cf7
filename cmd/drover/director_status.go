package main

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/director"
)

// directorClient gives a client of the director of this network namespace.
func directorClient() (*api.Client, error) {
	socket, err := directorFile(".sock")
	if err != nil {
		return nil, err
	}
	return api.NewClient(socket), nil
}

// askDirector gives the director's snapshot.
func askDirector(ctx context.Context) (*director.Snapshot, error) {
	client, err := directorClient()
	if err != nil {
		return nil, err
	}
	return client.Status(ctx)
}

// newStatusCommand is `drover status`: the pools as the director has them.
func newStatusCommand(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the pools: who serves, who does not, and why",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := askDirector(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(env.stdout, s)
			}
			return drawStatus(newPrinter(env), s)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func drawStatus(p *printer, s *director.Snapshot) error {
	name := ""
	if s.Router != "" {
		name = " " + p.in(bold, s.Router)
	}
	if err := p.printf("Director%s: %s, up %s, %s\n", name, s.Config, shortDuration(s.At.Sub(s.Started)), plural(s.ChecksRun, "check")); err != nil {
		return err
	}
	for _, problem := range problems(s) {
		if err := p.printf("%s\n", p.in(red, problem)); err != nil {
			return err
		}
	}
	if len(s.VRRP) > 0 {
		if err := p.printf("\n"); err != nil {
			return err
		}
		if err := drawRouters(p, s.At, s.VRRP); err != nil {
			return err
		}
	}
	for i := range s.VirtualServers {
		if err := drawVirtual(p, s, &s.VirtualServers[i]); err != nil {
			return err
		}
	}
	return nil
}

// problems gives what is wrong with the director itself.
func problems(s *director.Snapshot) []string {
	var list []string
	if s.DataPathError != "" {
		list = append(list, "The data path is not as it should be: "+s.DataPathError)
	}
	if s.Reload.Error != "" {
		list = append(list, fmt.Sprintf("The last reload was refused, %s ago: %s", shortDuration(s.At.Sub(s.Reload.At)), s.Reload.Error))
	}
	if s.KeepError != "" {
		list = append(list, "What must outlive the director can't be kept: "+s.KeepError)
	}
	if s.Holding {
		list = append(list, "Most real servers fail at once: this director's own network is suspected, and the pools stay as they were")
	}
	return list
}

func drawVirtual(p *printer, s *director.Snapshot, v *director.VirtualStatus) error {
	up := 0
	for i := range v.Servers {
		if v.Servers[i].Alive {
			up++
		}
	}
	quorum := fmt.Sprintf("%d of %d up, weight %d, quorum %d", up, len(v.Servers), v.Sum, v.Needed)
	shade := green
	switch {
	case !v.Quorum:
		quorum, shade = quorum+": lost", red
	case up < len(v.Servers):
		shade = yellow
	}
	title := v.Name
	if v.Group != "" {
		title += " (" + strings.Join(v.Service, ", ") + ")"
	}
	if err := p.printf("\n%s  %s %s  %s\n", p.in(bold, title), v.Scheduler, v.Forwarding, p.in(shade, quorum)); err != nil {
		return err
	}
	rows := [][]cell{{{text: "SERVER", style: faint}, {text: "STATE", style: faint}, {text: "WEIGHT", style: faint, right: true}, {text: "SINCE", style: faint}, {text: "", style: faint}}}
	for i := range v.Servers {
		rows = append(rows, serverRow(s, &v.Servers[i]))
	}
	if v.Sorry != nil {
		state := cell{text: "stands by", style: faint}
		if v.Sorry.Serves {
			state = cell{text: "serves", style: yellow}
		}
		rows = append(rows, []cell{{text: v.Sorry.Name}, state, {text: ""}, {text: ""}, {text: "sorry server", style: faint}})
	}
	return p.table(rows)
}

func serverRow(s *director.Snapshot, rs *director.ServerStatus) []cell {
	state := cell{text: "up", style: green}
	note := cell{text: rs.Reason, style: red}
	switch {
	case !rs.Alive:
		state = cell{text: "down", style: red}
	case rs.Override != nil && rs.Override.Disabled:
		state = cell{text: "disabled", style: yellow}
	case unasked(rs):
		state = cell{text: "not asked yet", style: yellow}
	case rs.Weight == 0:
		state = cell{text: "up, idle", style: yellow}
	}
	if rs.Override != nil {
		note = cell{text: strings.TrimSpace(note.text + " " + overrideText(s.At, rs.Override)), style: yellow}
	}
	weight := fmt.Sprint(rs.Weight)
	if rs.Weight != rs.Configured {
		weight = fmt.Sprintf("%d of %d", rs.Weight, rs.Configured)
	}
	return []cell{{text: rs.Name}, state, {text: weight, right: true}, {text: since(s.At, rs.Since)}, note}
}

// unasked is true of a server with checks of which none has run.
func unasked(rs *director.ServerStatus) bool {
	for i := range rs.Checks {
		if rs.Checks[i].HasRun {
			return false
		}
	}
	return len(rs.Checks) > 0
}

func overrideText(now time.Time, o *director.Override) string {
	var words []string
	if o.Disabled {
		words = append(words, "disabled")
	}
	if o.Weight != nil {
		words = append(words, fmt.Sprintf("weight set to %d", *o.Weight))
	}
	text := "override: " + strings.Join(words, ", ") + " by " + o.By
	if o.Reason != "" {
		text += fmt.Sprintf(" (%s)", o.Reason)
	}
	if !o.Until.IsZero() {
		text += ", for " + shortDuration(o.Until.Sub(now).Round(time.Minute)) + " more"
	}
	return text
}

func since(now, t time.Time) string {
	if t.IsZero() {
		return "start"
	}
	return shortDuration(now.Sub(t)) + " ago"
}

// shortDuration gives "850ms", "12s", "3m", "5h" or "2d": as much as a glance takes in.
func shortDuration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", max(d, 0).Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return countText(uint64(n)) + " " + noun + "s"
}

// newChecksCommand is `drover checks`: each check with its last answer.
func newChecksCommand(env *environment) *cobra.Command {
	var asJSON bool
	var why string
	cmd := &cobra.Command{
		Use:     "checks",
		Short:   "Show each check with its last answer",
		Example: "  drover checks --why 198.51.100.11",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := askDirector(cmd.Context())
			if err != nil {
				return err
			}
			if why != "" && keepOnly(s, why) == 0 {
				return fmt.Errorf("%s: %w", why, director.ErrNoServer)
			}
			if asJSON {
				return writeJSON(env.stdout, s.VirtualServers)
			}
			if err := drawChecks(newPrinter(env), s); err != nil || why == "" {
				return err
			}
			return drawWhy(cmd.Context(), newPrinter(env), s)
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "only this real server (RIP, or RIP:PORT), with what has happened to it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// keepOnly leaves one real server in a snapshot, in how many virtual servers it is.
func keepOnly(s *director.Snapshot, server string) (found int) {
	var kept []director.VirtualStatus
	for _, v := range s.VirtualServers {
		var servers []director.ServerStatus
		for _, rs := range v.Servers {
			if server == rs.Name || server == rs.Address.String() || server == rs.Address.Addr().String() {
				servers = append(servers, rs)
			}
		}
		if len(servers) > 0 {
			v.Servers = servers
			kept = append(kept, v)
			found += len(servers)
		}
	}
	s.VirtualServers = kept
	return found
}

func drawChecks(p *printer, s *director.Snapshot) error {
	heading := func(text string) cell { return cell{text: text, style: faint} }
	rows := [][]cell{{heading("VIRTUAL SERVER"), heading("SERVER"), heading("CHECK"), heading("STATE"), {text: "TOOK", style: faint, right: true}, heading("LAST"), heading("")}}
	for i := range s.VirtualServers {
		v := &s.VirtualServers[i]
		for j := range v.Servers {
			for k := range v.Servers[j].Checks {
				rows = append(rows, checkRow(s.At, v.Name, v.Servers[j].Name, &v.Servers[j].Checks[k]))
			}
		}
	}
	return p.table(rows)
}

func checkRow(now time.Time, virtual, server string, c *director.CheckStatus) []cell {
	state := cell{text: "ok", style: green}
	took, last := fmt.Sprintf("%.1f ms", float64(c.Took.Microseconds())/1000), shortDuration(now.Sub(c.At))+" ago"
	if c.At.IsZero() {
		took, last = "", "not yet"
	}
	switch {
	case !c.Up:
		state = cell{text: "failed", style: red}
	case c.Failures > 0:
		state = cell{text: fmt.Sprintf("ok, %s", plural(c.Failures, "failure")), style: yellow}
	case !c.HasRun:
		state = cell{text: "taken as ok", style: yellow}
	}
	name := strings.TrimSpace(string(c.Kind) + " " + path.Base(c.What))
	if strings.HasPrefix(c.What, "/") && (c.Kind == "HTTP_GET" || c.Kind == "SSL_GET") {
		name = string(c.Kind) + " " + c.What
	} else if c.What == "" {
		name = string(c.Kind)
	}
	return []cell{{text: virtual}, {text: server}, {text: name}, state, {text: took, right: true}, {text: last}, {text: c.Reason, style: red}}
}

// drawWhy shows what has happened to the servers that are left in a snapshot.
func drawWhy(ctx context.Context, p *printer, s *director.Snapshot) error {
	client, err := directorClient()
	if err != nil {
		return err
	}
	events, err := client.Events(ctx, 0, false)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for i := range s.VirtualServers {
		for j := range s.VirtualServers[i].Servers {
			names[s.VirtualServers[i].Servers[j].Name] = true
		}
	}
	var of []director.Event
	for _, e := range events {
		if names[e.RealServer] {
			of = append(of, e)
		}
	}
	if len(of) == 0 {
		return p.printf("\nNothing has happened to it since the director began.\n")
	}
	if err := p.printf("\nSince the director began:\n"); err != nil {
		return err
	}
	return drawEvents(p, of[max(0, len(of)-20):])
}
