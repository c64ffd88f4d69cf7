package kernel

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A result is what a command gave.
type result struct {
	Stdout, Stderr string
	Status         int
}

// What a status can be beside a program's.
const (
	unknown = -1 // of a line of a restore that goes on
	crashed = -2 // of a program that was ended by a signal
)

// afterCrash gives what is expected of Drover where ipvsadm crashed, as it does for "-b ,": that it refuses by
// one line more than ipvsadm had printed. What that had on stdout may be lost. The tables are compared as ever.
func afterCrash(kernel, drover result) result {
	more, same := strings.CutPrefix(drover.Stderr, kernel.Stderr)
	if same && drover.Status > 0 && strings.Count(more, "\n") == 1 {
		return drover
	}
	return kernel
}

// An ordering says how two listings are made comparable.
type ordering int

const (
	exactly     ordering = iota
	anyServices          // --nosort: ip_vs lists services in the order of a hash of a kernel address
	anyLines             // connections, in the order of a hash with a secret
)

// ordered gives a listing in an order that does not depend on chance.
func ordered(listing string, o ordering) string {
	switch o {
	case anyServices:
		return strings.Join(blocks(listing), "")
	case anyLines:
		lines := strings.SplitAfter(listing, "\n")
		slices.Sort(lines)
		return strings.Join(lines, "")
	}
	return listing
}

// blocks splits a listing: what stands above the services, then each service with its servers, sorted.
func blocks(listing string) []string {
	all := []string{""}
	for line := range strings.Lines(listing) {
		if isService(line) {
			all = append(all, "")
		}
		all[len(all)-1] += line
	}
	slices.Sort(all[1:])
	return all
}

func isService(line string) bool {
	return slices.ContainsFunc([]string{"TCP ", "UDP ", "SCTP ", "FWM "}, func(word string) bool {
		return strings.HasPrefix(line, word)
	})
}

// secondsOff is how far the two kernels' timers may be from each other: they begin when a packet comes,
// one director's after the other's, and ip_vs counts in jiffies.
const secondsOff = 2

var connectionLine = regexp.MustCompile(`^(\S+) +(\d+):(\d+) +(\S.*)$`)

// A connection is a line of -Lnc without its timer, which is apart.
type connection struct {
	what    string // protocol, state, ends
	expires int    // seconds
}

// connections reads a listing of -Lnc, sorted by what is compared exactly. Only lines that have keep are
// taken: others are of earlier cases.
func connections(listing string, keep func(line string) bool) []connection {
	var all []connection
	for line := range strings.Lines(listing) {
		m := connectionLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil || !keep(line) {
			continue
		}
		minutes, _ := strconv.Atoi(m[2])
		seconds, _ := strconv.Atoi(m[3])
		what := m[1] + " " + strings.Join(strings.Fields(m[4]), " ")
		all = append(all, connection{what, minutes*60 + seconds})
	}
	slices.SortFunc(all, func(a, b connection) int { return cmp.Compare(a.what, b.what) })
	return all
}

// differences gives a line for each connection that is not in both, or whose timers are apart.
func differences(kernel, drover []connection) []string {
	var lines []string
	for len(kernel) > 0 || len(drover) > 0 {
		switch {
		case len(drover) == 0 || len(kernel) > 0 && kernel[0].what < drover[0].what:
			lines = append(lines, "- "+kernel[0].String())
			kernel = kernel[1:]
		case len(kernel) == 0 || drover[0].what < kernel[0].what:
			lines = append(lines, "+ "+drover[0].String())
			drover = drover[1:]
		default:
			if apart := kernel[0].expires - drover[0].expires; apart > secondsOff || apart < -secondsOff {
				lines = append(lines, fmt.Sprintf("- %s\n+ %s", kernel[0], drover[0]))
			}
			kernel, drover = kernel[1:], drover[1:]
		}
	}
	return lines
}

func (c connection) String() string { return fmt.Sprintf("%d s %s", c.expires, c.what) }
