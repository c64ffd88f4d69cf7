package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/director"
)

// newVRRPCommand is `drover vrrp`: the virtual routers as the director has them.
func newVRRPCommand(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "vrrp [INSTANCE]",
		Short: "Show the virtual routers: who is MASTER, of what, and why",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := askDirector(cmd.Context())
			if err != nil {
				return err
			}
			routers := s.VRRP
			if len(args) == 1 {
				routers = slices.DeleteFunc(slices.Clone(routers), func(r director.RouterStatus) bool { return r.Name != args[0] })
				if len(routers) == 0 {
					return fmt.Errorf("there is no virtual router %s: drover vrrp lists them", args[0])
				}
			}
			if asJSON {
				return writeJSON(env.stdout, routers)
			}
			p := newPrinter(env)
			if len(args) == 1 {
				return drawRouter(p, s.At, &routers[0])
			}
			return drawRouters(p, s.At, routers)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

var stateStyles = map[string]style{"MASTER": green, "BACKUP": plain, "FAULT": red, "INIT": yellow}

func drawRouters(p *printer, now time.Time, routers []director.RouterStatus) error {
	if len(routers) == 0 {
		return p.printf("the configuration has no vrrp_instance\n")
	}
	rows := [][]cell{headings("INSTANCE", "STATE", "FOR", "PRIORITY", "INTERFACE", "VRID", "ADDRESSES", "")}
	for i := range routers {
		r := &routers[i]
		rows = append(rows, []cell{
			{text: r.Name, style: bold},
			{text: r.State, style: stateStyles[r.State]},
			{text: shortDuration(now.Sub(r.Since))},
			{text: priorityOf(r)},
			{text: r.Interface},
			{text: fmt.Sprint(r.VRID)},
			{text: addressesOf(r)},
			{text: strings.Join(r.Faults, ", "), style: red},
		})
	}
	return p.table(rows)
}

// priorityOf is the priority, with the configured one where trackers have changed it.
func priorityOf(r *director.RouterStatus) string {
	if r.Priority != r.Base {
		return fmt.Sprintf("%d of %d", r.Priority, r.Base)
	}
	return fmt.Sprint(r.Priority)
}

func addressesOf(r *director.RouterStatus) string {
	var all []string
	for _, a := range r.Addresses {
		all = append(all, a.String())
	}
	return strings.Join(all, " ")
}

// drawRouter writes all that is known of one.
func drawRouter(p *printer, now time.Time, r *director.RouterStatus) error {
	rows := [][]cell{
		{{text: "state", style: faint}, {text: fmt.Sprintf("%s for %s", r.State, shortDuration(now.Sub(r.Since))), style: stateStyles[r.State]}},
		{{text: "priority", style: faint}, {text: priorityOf(r)}},
		{{text: "on", style: faint}, {text: fmt.Sprintf("%s, virtual router ID %d, version %d, an advert each %v", r.Interface, r.VRID, r.Version, time.Duration(r.Advert*float64(time.Second)))}},
		{{text: "from", style: faint}, {text: r.Source}},
		{{text: "addresses", style: faint}, {text: addressesOf(r)}},
	}
	if r.SyncGroup != "" {
		rows = append(rows, []cell{{text: "sync group", style: faint}, {text: r.SyncGroup}})
	}
	for _, fault := range r.Faults {
		rows = append(rows, []cell{{text: "fault", style: faint}, {text: fault, style: red}})
	}
	if r.Rival != nil {
		rows = append(rows, []cell{{text: "last advert", style: faint}, {text: fmt.Sprintf("from %s, priority %d, %s ago", r.Rival.From, r.Rival.Priority, shortDuration(now.Sub(r.Rival.At)))}})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Counters)) {
		if n := r.Counters[name]; n > 0 {
			rows = append(rows, []cell{{text: strings.ReplaceAll(name, "_", " "), style: faint}, {text: fmt.Sprint(n)}})
		}
	}
	if err := p.printf("%s\n", p.in(bold, r.Name)); err != nil {
		return err
	}
	return p.table(rows)
}
