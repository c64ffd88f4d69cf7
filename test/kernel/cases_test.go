//go:build kernel61

package kernel

import (
	"testing"
	"time"
)

// TestCases replays the cases that were kept: each was a difference once.
func TestCases(t *testing.T) {
	all, err := readCases("testdata/cases")
	must(t, err)
	p := newPair(t, sameSize)
	begin := time.Now()
	for _, c := range all {
		if err := p.trafficAlone(c.lines); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	done(t, "kept cases", begin, len(all), p.steps)
}
