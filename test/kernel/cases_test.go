//go:build kernel61

package kernel

import (
	"testing"
	"time"
)

// replayCases replays the cases that were kept: each was a difference once.
func (p *pair) replayCases(t *testing.T) {
	all, err := readCases("testdata/cases")
	must(t, err)
	begin := time.Now()
	for _, c := range all {
		if err := p.trafficAlone(c.lines); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	p.done(t, "kept cases", begin, len(all))
}
