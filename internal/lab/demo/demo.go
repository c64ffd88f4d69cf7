// Package demo plays an LVS tutorial in a lab: it types the ipvsadm commands, sends requests, and proves
// from the packets on the lab's networks that the director did what it should. Everything that happens is
// given to a function as an Event; this package prints nothing.
package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"drover/internal/lab"
	"drover/internal/lab/capture"
)

// requests is how many are sent: each server's share of them is a whole number in every play.
const requests = 12

// Config says what is played.
type Config struct {
	Name   string     // of the lab
	Mode   lab.Mode   // DR, NAT or TUN
	Family lab.Family // V4 or V6
	Keep   bool       // leave the lab up at the end
}

// Result is what came out.
type Result struct {
	Lab     string     `json:"lab"`
	Mode    lab.Mode   `json:"mode"`
	Family  lab.Family `json:"family"`
	Kept    bool       `json:"kept"` // the lab is still up
	Servers []Share    `json:"servers"`
	Checks  []Check    `json:"checks"`
}

// Failed gives the checks that failed.
func (r Result) Failed() []Check {
	var failed []Check
	for _, c := range r.Checks {
		if !c.OK {
			failed = append(failed, c)
		}
	}
	return failed
}

// stage is a play on a lab that is up.
type stage struct {
	play
	lab    *lab.Lab
	family lab.Family
	show   func(Event)
}

// Run plays one mode in a lab of its own. The lab is taken down again, also after an error or when ctx
// ends; it stays only where Keep is set and the play came to its end. A failed check is no error.
// Errors are those of lab.Up, and what kept the play from its end.
func Run(ctx context.Context, cfg Config, show func(Event)) (result Result, err error) {
	p, ok := plays[cfg.Mode]
	if !ok {
		return Result{}, fmt.Errorf("%w: mode %q: want dr, nat or tun", lab.ErrConfig, cfg.Mode)
	}
	show(Waiting{Text: "bringing the lab up"})
	l, err := lab.Up(ctx, lab.Config{Name: cfg.Name, Mode: cfg.Mode, Family: cfg.Family})
	if err != nil {
		return Result{}, err
	}
	defer func() {
		if err == nil && cfg.Keep {
			result.Kept = true
			return
		}
		show(Waiting{Text: "taking the lab down"})
		if failed := l.Down(); failed != nil {
			err = errors.Join(err, failed)
		}
	}()
	s := &stage{play: p, lab: l, family: cfg.Family, show: show}
	result = Result{Lab: cfg.Name, Mode: cfg.Mode, Family: cfg.Family}
	result.Servers, result.Checks, err = s.perform(ctx)
	return result, err
}

func (s *stage) perform(ctx context.Context) ([]Share, []Check, error) {
	s.show(Scene{Lab: s.lab.Status()})
	for _, line := range s.commands(s.lab.Topology, s.family) {
		if _, err := s.typed(ctx, lab.Director, line); err != nil {
			return nil, nil, err
		}
	}
	recording, err := capture.Start(s.lab, s.networks...)
	if err != nil {
		return nil, nil, err
	}
	defer recording.Close()
	shares, failure, err := s.ask(ctx)
	if err != nil {
		return nil, nil, err
	}
	s.show(Waiting{Text: "reading the recording"})
	packets, err := recording.Stop()
	if err != nil {
		return nil, nil, err
	}
	listing, err := s.typed(ctx, lab.Director, "ipvsadm -Ln --stats")
	if err != nil {
		return nil, nil, err
	}
	e := newEvidence(s.play, s.lab.Topology, s.family, packets)
	for _, event := range e.exhibits() {
		s.show(event)
	}
	checks := append(checkAnswers(shares, failure), e.checks(listing)...)
	for _, c := range checks {
		s.show(c)
	}
	return shares, checks, nil
}

// ask sends the requests and counts who answered. A request that fails is told once and ends them.
func (s *stage) ask(ctx context.Context) (shares []Share, failure string, err error) {
	url, err := s.lab.URL(s.family, "/")
	if err != nil {
		return nil, "", err
	}
	line := "curl -sS -m 5 " + url
	shares = s.shares()
	for n := range requests {
		s.show(Waiting{Text: "sending requests", Done: n, Of: requests})
		output, err := s.run(ctx, lab.Client, line)
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		if n == 0 || err != nil {
			s.show(Command{Node: lab.Client, Line: line, Output: output})
		}
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			failure = strings.TrimSpace(output)
			break
		}
		if err != nil {
			return nil, "", err
		}
		server, _, _ := strings.Cut(output, ":")
		for i := range shares {
			if shares[i].Server == server {
				shares[i].Answers++
			}
		}
	}
	s.show(Answers{Requests: requests, Servers: shares})
	return shares, failure, nil
}

// typed runs a command line in a node and shows it with its output. One that fails is an error.
func (s *stage) typed(ctx context.Context, node, line string) (output string, err error) {
	s.show(Waiting{Text: line})
	output, err = s.run(ctx, node, line)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	s.show(Command{Node: node, Line: line, Output: output})
	if err != nil {
		return "", fmt.Errorf("run %s on the %s: %w: %s", line, node, err, strings.TrimSpace(output))
	}
	return output, nil
}

// run gives what a command line writes to a terminal. No request goes to a proxy of this machine.
func (s *stage) run(ctx context.Context, node, line string) (string, error) {
	words := strings.Fields(line)
	cmd := s.lab.Command(ctx, words[0], words[1:]...)
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "no_proxy=*")
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	err := s.lab.Start(node, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	return output.String(), err
}

// service is the VIP and the port that clients ask.
func service(t *lab.Topology, f lab.Family) netip.AddrPort { return netip.AddrPortFrom(t.VIP(f), 80) }
