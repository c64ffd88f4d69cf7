//go:build kernel61

package kernel

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// repeatRuns repeats recorded runs of the schedulers, in an order by chance and as many as there
// is time for: both directors choose the servers that the recording has.
func (p *pair) repeatRuns(t *testing.T) {
	text, err := os.ReadFile("testdata/recordings/60-sched.txt")
	must(t, err)
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	begin, budget, repeated := time.Now(), budgetOf(t, recordingsTime), 0
	for _, i := range rand.New(rand.NewPCG(seedOf(t), 3)).Perm(len(all)) {
		if budget.over() && repeated >= leastRuns || t.Failed() {
			break
		}
		r, err := parseRun(all[i])
		must(t, err)
		if s, err := parseStep(r.setUp()[0], 0); err != nil || leftOut(s) != "" {
			continue
		}
		if err := p.repeat(r); err != nil {
			t.Errorf("%s\n%v", all[i], err)
		}
		repeated++
	}
	p.done(t, "recorded schedulers", begin, repeated)
}

func (p *pair) repeat(r recordedRun) error {
	if err := p.flush(); err != nil {
		return err
	}
	if err := p.each(0, r.setUp(), p.do); err != nil {
		return err
	}
	var chosen []string
	for n := range r.servers {
		packets := r.connection(n)
		if err := p.each(0, packets, p.do); err != nil {
			return err
		}
		s, err := parseStep(packets[0], 0)
		if err != nil {
			return err
		}
		chosen = append(chosen, "ERR")
		if to, there := p.drover.delivered[s.packet.flow()]; there {
			chosen[n] = fmt.Sprintf("r%d", to.server)
		}
	}
	if diff := cmp.Diff(r.servers, chosen); diff != "" {
		return differ("servers (-recording +drover):\n%s", diff)
	}
	return nil
}
