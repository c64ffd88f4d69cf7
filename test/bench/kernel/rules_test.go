//go:build bench

package kernel

import (
	"fmt"
	"os"
	"strings"
	"time"

	"drover/test/bench/rounds"
)

const (
	ruleRounds   = 3
	ruleServices = 2_000
	ruleServers  = 5
	ruleReach    = 5 // times as fast as ip_vs, of a restore
)

// rules prints the time of a restore and of a listing, by the real ipvsadm with ip_vs and by Drover's.
func (b *bench) rules() {
	const restoring, listing = "ipvsadm -R", "ipvsadm -L -n"
	if !b.Chosen(restoring) && !b.Chosen(listing) {
		return
	}
	services, turns := b.Scale(ruleServices), min(b.Rounds, ruleRounds)
	restored, listed := make([]rounds.Values, len(b.directors)), make([]rounds.Values, len(b.directors))
	for range turns {
		for i, d := range b.directors {
			restore, list := timeRules(d, services)
			restored[i], listed[i] = append(restored[i], restore), append(listed[i], list)
		}
	}
	table := rounds.Table{
		Title:   fmt.Sprintf("%d services with %d servers each, seconds: median (least .. most)", services, ruleServers),
		Columns: []string{"command", "ip_vs", "Drover", "times as fast", "reach"},
	}
	addRow := func(command, reach string, took []rounds.Values) {
		ratio := took[0].Over(took[1])
		table.Row(map[string]any{"command": command, "ipvs_seconds": took[0], "drover_seconds": took[1], "ratio": ratio},
			command, took[0].Text(2), took[1].Text(2), ratio.Text(1), reach)
	}
	addRow(restoring, fmt.Sprintf(">= %d", ruleReach), restored)
	addRow(listing, "", listed)
	table.Note("%d rounds, in turn, in an emulated machine.", turns)
	must(b.t, table.Print(os.Stdout))
}

// timeRules gives the seconds that a director takes to restore the rules and to list them.
func timeRules(d *director, services int) (restore, list float64) {
	d.t.Helper()
	d.admin(nil, "-C")
	begin := time.Now()
	d.admin(strings.NewReader(rulesText(services)), "-R")
	restore = time.Since(begin).Seconds()
	begin = time.Now()
	text := string(d.admin(nil, "-L", "-n"))
	list = time.Since(begin).Seconds()
	if n := strings.Count(text, "Route"); n != services*ruleServers {
		d.t.Fatalf("%s: %d servers are listed, want %d", d.name, n, services*ruleServers)
	}
	d.admin(nil, "-C")
	return restore, list
}

// rulesText is what ipvsadm -S would have saved.
func rulesText(services int) string {
	var text strings.Builder
	for i := range services {
		service := fmt.Sprintf("192.0.2.%d:%d", 100+i%100, 80+i/100)
		fmt.Fprintf(&text, "-A -t %s -s rr\n", service)
		for host := range ruleServers {
			fmt.Fprintf(&text, "-a -t %s -r %v:%d -g -w 1\n", service, server(host), 80+i/100)
		}
	}
	return text.String()
}
