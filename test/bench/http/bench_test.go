//go:build bench

package http

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"drover/internal/lab"
	"drover/test/bench/rounds"
)

const (
	benchRounds  = 5
	benchSeconds = 3 // of one load, in one round
)

// A row is a balancer that is up, and what was measured.
type row struct {
	balancer
	cluster *lab.Lab
	url     string
	speed   [2]rounds.Values // requests per second, by load
	failed  [2]int
}

// TestBench prints requests per second. It fails on nothing but an error: speed is for people to judge.
func TestBench(t *testing.T) {
	options, err := rounds.FromEnvironment(benchRounds)
	if err != nil {
		t.Fatal(err)
	}
	table := &rounds.Table{
		Title:   "HTTP requests per second through the lab: median (least .. most)",
		Columns: []string{"way", "keep-alive", "of the first", "failed", "a connection each", "of the first", "failed"},
	}
	// An interrupt ends the test, and so its cleanups are made.
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rows := start(ctx, t, options, table)
	for range options.Rounds {
		for _, r := range rows {
			for i, l := range loads {
				speed, failed, err := l.ask(ctx, r.cluster, r.url, options.Scale(benchSeconds))
				if err != nil {
					t.Fatalf("%s, %s: %v", r.name, l.name, err)
				}
				r.speed[i], r.failed[i] = append(r.speed[i], speed), r.failed[i]+failed
			}
		}
	}
	for _, r := range rows {
		r.add(table, rows[0])
	}
	table.Note("%d rounds, the ways in turn. wrk with %d connections, the director and the server (nginx, one process, a line", options.Rounds, wrkConnections)
	table.Note("of text) share this machine's CPUs, so that a director that takes less leaves more to the other two.")
	if err := table.Print(os.Stdout); err != nil {
		t.Fatal(err)
	}
}

// start makes the labs of the chosen balancers. What this machine or this Drover has not got is left out,
// aloud.
func start(ctx context.Context, t *testing.T, options rounds.Options, table *rounds.Table) (rows []*row) {
	t.Helper()
	for _, b := range balancers {
		if !options.Chosen(b.name) {
			continue
		}
		cluster, url, err := b.up(ctx, t)
		switch {
		case err == nil:
			rows = append(rows, &row{balancer: b, cluster: cluster, url: url})
		case b.may:
			table.Note("%s: left out: %v", b.name, err)
		default:
			t.Fatalf("%s: %v", b.name, err)
		}
	}
	return rows
}

// add adds the row, its speeds beside those of the first row.
func (r *row) add(table *rounds.Table, first *row) {
	record := map[string]any{"way": r.name}
	cells := []string{r.name}
	for i, l := range loads {
		share := r.speed[i].Over(first.speed[i])
		record[l.name] = map[string]any{"per_second": r.speed[i], "of_first": share, "failed": r.failed[i]}
		cells = append(cells, r.speed[i].Text(0), share.Text(2), fmt.Sprint(r.failed[i]))
	}
	table.Row(record, cells...)
}
