package rounds

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// A Table is printed at a bench's end: aligned columns, the notes under them, and the same as JSON.
type Table struct {
	Title   string
	Columns []string
	rows    [][]string
	records []any
	notes   []string
}

// Row adds a line of cells, and what JSON tells of it.
func (t *Table) Row(record any, cells ...string) {
	t.rows = append(t.rows, cells)
	t.records = append(t.records, record)
}

// Note adds a line under the table: what was left out and why, what to know when reading it.
func (t *Table) Note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// Print writes the table, and where DROVER_BENCH_JSON=1 asks for it a line of JSON.
func (t *Table) Print(w io.Writer) error {
	fmt.Fprintf(w, "\n%s\n", t.Title)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.Columns}, t.rows...) {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, note := range t.notes {
		fmt.Fprintln(w, note)
	}
	if os.Getenv("DROVER_BENCH_JSON") != "1" {
		return nil
	}
	return json.NewEncoder(w).Encode(struct {
		Title string   `json:"title"`
		Rows  []any    `json:"rows"`
		Notes []string `json:"notes"`
	}{t.Title, t.records, t.notes})
}
