//go:build kernel61

package kernel

import (
	"testing"
	"time"
)

// sameSize is the capacity with which Drover's table has as many buckets as ip_vs's, so that the header of a
// listing is the same.
const sameSize = 8192

// sequence is how many commands are made up before both directors are emptied and it begins anew: so long
// that tables grow, and not too long to be shrunk.
const sequence = 60

// TestCommands runs ipvsadm commands in both, recorded ones and then made-up ones, good and bad, and compares all
// that they print and leave behind. Both are one test because it takes long to make the two directors.
func TestCommands(t *testing.T) {
	p := newPair(t, sameSize)
	t.Run("transcripts", p.replayTranscripts)
	t.Run("made up", p.makeUpCommands)
}

func (p *pair) makeUpCommands(t *testing.T) {
	seed := seedOf(t)
	begin, sequences, failures := time.Now(), 0, 0
	for budget := budgetOf(t, commandsTime); failures < maxFailures && (!budget.over() || p.steps < leastSteps); sequences++ {
		c := newCommander(seed + uint64(sequences))
		var all []string
		for range sequence {
			all = append(all, c.next())
		}
		if err := p.commands(all); err != nil {
			failures++
			p.report(t, testCase{caseName("commands", seed+uint64(sequences)), all}, err, p.commands)
		}
	}
	p.done(t, "commands", begin, sequences)
}

// commands empties both directors, runs the steps of a case, and compares each result and a listing after it.
func (p *pair) commands(all []string) error {
	if err := p.flush(); err != nil {
		return err
	}
	return p.each(p.freshPorts(), all, func(s step) error {
		if err := p.do(s); err != nil {
			return err
		}
		return p.compareListing()
	})
}
