package rounds

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
)

// Options say what to run. They come from the environment, as `go test` and the virtual machine both
// pass it on:
//
//	DROVER_BENCH         regular expression: the cases whose names it matches, all without it
//	DROVER_BENCH_ROUNDS  rounds of each case
//	DROVER_BENCH_SCALE   factor, up to 1, on packets, flows and seconds: to see that it works, not to
//	                     measure
//	DROVER_BENCH_JSON    1: print a line of JSON after each table
type Options struct {
	Rounds int
	scale  float64
	cases  *regexp.Regexp
}

// FromEnvironment reads the options; rounds is the number of rounds where none is given.
func FromEnvironment(rounds int) (Options, error) {
	o := Options{Rounds: rounds, scale: 1}
	var err error
	if o.cases, err = regexp.Compile(os.Getenv("DROVER_BENCH")); err != nil {
		return o, fmt.Errorf("DROVER_BENCH: %w", err)
	}
	if text := os.Getenv("DROVER_BENCH_ROUNDS"); text != "" {
		if o.Rounds, err = strconv.Atoi(text); err != nil || o.Rounds < 1 {
			return o, fmt.Errorf("DROVER_BENCH_ROUNDS: %q: want 1 or more", text)
		}
	}
	if text := os.Getenv("DROVER_BENCH_SCALE"); text != "" {
		o.scale, err = strconv.ParseFloat(text, 64)
		if err != nil || !(o.scale > 0 && o.scale <= 1) {
			return o, fmt.Errorf("DROVER_BENCH_SCALE: %q: want a number above 0, up to 1", text)
		}
	}
	return o, nil
}

// Chosen tells whether the case of that name is to run.
func (o Options) Chosen(name string) bool { return o.cases.MatchString(name) }

// Scale makes a count smaller as asked; 1 stays 1.
func (o Options) Scale(n int) int { return max(1, int(float64(n)*o.scale)) }
