package main

import (
	"time"

	"github.com/spf13/cobra"

	"drover/internal/datapath"
)

// An incident is the same end of packets between the same two hosts, so many times in a row.
type incident struct {
	first, last *datapath.Event
	times       int
}

// newIncidentCommand is `drover incident`: the flight recorder's tape.
func newIncidentCommand(env *environment) *cobra.Command {
	since, asJSON := time.Duration(0), false
	cmd := &cobra.Command{
		Use:   "incident",
		Short: "Show the last drops and refused connections, as a timeline",
		Long: `Show the last drops, refused connections and packets without a place in the connection table, as the data path
has written them down: the last 8,192, of each kind at most 64 a second and CPU. They outlive every process, until
"drover datapath unload" or the next boot. What repeats is one line.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			var all []*datapath.Event
			var skipped uint64
			err := withTable(false, func(table *datapath.Table) (err error) {
				all, skipped, err = table.Incidents()
				return err
			})
			if err != nil {
				return err
			}
			found := groupIncidents(all, since, time.Now())
			if asJSON {
				rows := []eventRow{}
				for _, i := range found {
					row := eventJSON(i.first)
					row.Times = i.times
					rows = append(rows, row)
				}
				return writeJSON(env.stdout, rows)
			}
			return printIncidents(newPrinter(env), found, skipped)
		},
	}
	cmd.Flags().DurationVar(&since, "since", 0, "only those of the last so long, such as 5m (default: all)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// groupIncidents joins neighbours that are alike but for the client's port.
func groupIncidents(all []*datapath.Event, since time.Duration, now time.Time) []incident {
	var found []incident
	for _, e := range all {
		if since > 0 && now.Sub(e.At) > since {
			continue
		}
		if n := len(found); n > 0 && alike(found[n-1].first, e) {
			found[n-1].last = e
			found[n-1].times++
			continue
		}
		found = append(found, incident{e, e, 1})
	}
	return found
}

func alike(a, b *datapath.Event) bool {
	return a.Outcome.Name == b.Outcome.Name && a.Outcome.Verdict == b.Outcome.Verdict && a.Protocol == b.Protocol &&
		a.From.Addr() == b.From.Addr() && a.To == b.To && a.Server == b.Server
}

func printIncidents(out *printer, found []incident, skipped uint64) error {
	day := ""
	for _, i := range found {
		if today := i.first.At.Format(time.DateOnly); today != day {
			if day = today; out.printf("%s\n", out.in(bold, day)) != nil {
				return nil
			}
		}
		if err := out.printf("%s", eventLine(out, i.first)); err != nil {
			return err
		}
		if i.times > 1 {
			if err := out.printf("  x %s in %v", countText(uint64(i.times)), i.last.At.Sub(i.first.At).Round(time.Millisecond)); err != nil {
				return err
			}
		}
		if err := out.printf("\n"); err != nil {
			return err
		}
	}
	if len(found) == 0 {
		return out.printf("Nothing was dropped or refused.\n")
	}
	if skipped > 0 {
		return out.printf("%s more came too fast to be written down; drover datapath status counts all.\n", countText(skipped))
	}
	return nil
}
