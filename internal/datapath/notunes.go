package datapath

import (
	"fmt"
	"slices"
)

// A NoTuneError says of one of ip_vs's sysctls why it cannot be set here.
type NoTuneError struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

func (e *NoTuneError) Error() string { return fmt.Sprintf("%s cannot be set: %s", e.Name, e.Reason) }

const (
	withSync  = "it comes with connection sync"
	oneThread = "rates are estimated by the data path's timer, in no thread of the kernel"
)

// NoTunes are those of ip_vs's sysctls that make no sense on XDP, or come later.
var NoTunes = []NoTuneError{
	{"backup_only", withSync},
	{"cache_bypass", "it sends on what no server takes, by the host's routing; here the client is told"},
	{"conntrack", "XDP runs before netfilter, whose connection tracking sees nothing of it"},
	{"est_cpulist", oneThread},
	{"est_nice", oneThread},
	{"ignore_tunneled", "it is always so: packets in a tunnel go to the host as they came"},
	{"nat_icmp_send", "what a server sends without a connection is not known for a server's"},
	{"sloppy_sctp", "SCTP is not balanced"},
	{"snat_reroute", "it is always so: a reply goes by the route to its client"},
	{"sync_persist_mode", withSync},
	{"sync_ports", withSync},
	{"sync_qlen_max", withSync},
	{"sync_refresh_period", withSync},
	{"sync_retries", withSync},
	{"sync_sock_size", withSync},
	{"sync_threshold", withSync},
	{"sync_version", withSync},
}

// An UnknownTuneError names what is no tune, and the one that was perhaps meant.
type UnknownTuneError struct{ Name, Nearest string }

func (e *UnknownTuneError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf(`no tune %q ("drover tune list" has all)`, e.Name)
	}
	return fmt.Sprintf("no tune %q: did you mean %s?", e.Name, e.Nearest)
}

// A TuneRangeError says what a tune takes.
type TuneRangeError struct {
	Tune  Tune
	Value string
}

func (e *TuneRangeError) Error() string {
	expected := e.Tune.Range()
	if e.Tune.IsSwitch() {
		expected = "an integer, " + expected
	}
	return fmt.Sprintf("%s %s: expected %s", e.Tune.Name, e.Value, expected)
}

// nearestTune gives the name that a wrong one is closest to, if it is close at all.
func nearestTune(name string) string {
	best, least := "", len(name)/2+1
	try := func(known string) {
		if d := editDistance(name, known); d < least {
			best, least = known, d
		}
	}
	for _, tune := range tunes {
		try(tune.Name)
	}
	for _, none := range NoTunes {
		try(none.Name)
	}
	return best
}

// editDistance counts the letters to insert, delete or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = slices.Min([]int{row[j+1] + 1, row[j] + 1, cost})
		}
	}
	return row[len(b)]
}
