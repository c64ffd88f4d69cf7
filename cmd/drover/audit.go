package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"drover/internal/datapath"
)

// newAuditCommand is `drover audit`: are the counters what the table has?
func newAuditCommand(env *environment) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Count the connections of each server again, and compare",
		Long: `Count the connections of each server again in the connection table, and compare that with ActiveConn, InActConn and
the persistent ones, which the schedulers choose by. Under traffic a server counts as wrong only if it differs in the same
way five times. Exit status: 0 if nothing differs, 1 if something does.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			var audited *datapath.Audited
			err := withTable(false, func(table *datapath.Table) (err error) {
				audited, err = table.Audit()
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(env.stdout, auditJSON(audited))
			} else {
				err = printAudit(newPrinter(env), audited)
			}
			if err == nil && len(audited.Drifts) > 0 {
				return &exitError{1, fmt.Errorf("%d servers' counters are wrong: please report it", len(audited.Drifts))}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printAudit(out *printer, a *datapath.Audited) error {
	err := out.printf("%s connections of %s servers counted: %s\n", countText(uint64(a.Connections)), countText(uint64(a.Servers)),
		map[bool]string{true: out.in(green, "no drift"), false: out.in(red, "drift")}[len(a.Drifts) == 0])
	if err != nil || len(a.Drifts) == 0 {
		return err
	}
	rows := [][]cell{headings("service", "server", "counters: active, inactive, persistent", "in the table")}
	for _, d := range a.Drifts {
		rows = append(rows, []cell{{text: d.Service.Text()}, {text: d.Server.String()}, {text: heldText(d.Counted)}, {text: heldText(d.Found)}})
	}
	return out.table(rows)
}

func heldText(h datapath.Held) string {
	return fmt.Sprintf("%d, %d, %d", h.Active, h.Inactive, h.Persistent)
}

type auditRow struct {
	Connections int        `json:"connections"`
	Servers     int        `json:"servers"`
	Drifts      []driftRow `json:"drifts"`
}

type driftRow struct {
	Service string        `json:"service"`
	Server  string        `json:"server"`
	Counted datapath.Held `json:"counted"`
	Found   datapath.Held `json:"found"`
}

func auditJSON(a *datapath.Audited) auditRow {
	row := auditRow{Connections: a.Connections, Servers: a.Servers, Drifts: []driftRow{}}
	for _, d := range a.Drifts {
		row.Drifts = append(row.Drifts, driftRow{d.Service.Text(), d.Server.String(), d.Counted, d.Found})
	}
	return row
}
