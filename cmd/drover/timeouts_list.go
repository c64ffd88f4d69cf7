package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/datapath"
	"drover/internal/lvs"
)

// A timeoutRow is one timeout of one service.
type timeoutRow struct {
	Service string `json:"service"` // "all", or a service with its own
	Name    string `json:"name"`
	Seconds int    `json:"seconds"`
}

func newTimeoutsList(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the timeouts of all services, and those that services have of their own",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			rows := []timeoutRow{}
			err := withTable(false, func(t *datapath.Table) (err error) {
				rows, err = timeoutRows(t)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(env.stdout, rows)
			}
			return printTimeouts(newPrinter(env), rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func timeoutRows(t *datapath.Table) ([]timeoutRow, error) {
	rows := rowsOf("all", t.CommonTimeouts())
	services, err := t.Services()
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		own, err := t.ServiceTimeouts(s.ServiceKey)
		if err != nil {
			return nil, err
		}
		rows = append(rows, rowsOf(s.ServiceKey.Text(), own)...)
	}
	return rows, nil
}

func rowsOf(service string, t lvs.ServiceTimeouts) (rows []timeoutRow) {
	for _, n := range timeoutNames {
		if d := *n.of(&t); d != 0 {
			rows = append(rows, timeoutRow{service, n.name, int(d / time.Second)})
		}
	}
	return rows
}

func printTimeouts(p *printer, rows []timeoutRow) error {
	cells := [][]cell{header("service", "timeout", "#seconds")}
	last := ""
	for _, row := range rows {
		service := row.Service
		if service == last {
			service = ""
		}
		last = row.Service
		cells = append(cells, []cell{{text: service}, {text: row.Name}, {text: strconv.Itoa(row.Seconds), right: true}})
	}
	return p.table(cells)
}
