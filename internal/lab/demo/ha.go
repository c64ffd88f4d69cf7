package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drover/internal/lab"
)

// The file of the play, its service, and the server that is stopped.
const (
	haConfig = `virtual_server 192.0.2.100 80 {
    delay_loop 1
    lvs_sched rr
    lvs_method DR
    protocol TCP

    real_server 192.0.2.11 80 {
        TCP_CHECK {
            connect_timeout 1
            retry 1
            delay_before_retry 0.5
        }
    }
    real_server 192.0.2.12 80 {
        TCP_CHECK {
            connect_timeout 1
            retry 1
            delay_before_retry 0.5
        }
    }
    real_server 192.0.2.13 80 {
        TCP_CHECK {
            connect_timeout 1
            retry 1
            delay_before_retry 0.5
        }
    }
}
`
	haServer = "rs2"
)

// How long the play looks on, and waits for the director at most.
const (
	haQuiet    = 2 * time.Second
	haPatience = 15 * time.Second
)

// RunHA plays what a director is for: a server's web process dies under load, the pool shrinks, and it comes back. The lab is
// taken down at the end, unless Keep is set. Mode is DR, Family V4.
func RunHA(ctx context.Context, cfg Config, show func(Event)) (result Result, err error) {
	folder, err := os.MkdirTemp("", "drover-demo-")
	if err != nil {
		return Result{}, err
	}
	file := filepath.Join(folder, "keepalived.conf")
	if err := os.WriteFile(file, []byte(haConfig), 0o644); err != nil {
		return Result{}, errors.Join(err, os.RemoveAll(folder))
	}
	show(Waiting{Text: "bringing the lab up"})
	l, err := lab.Up(ctx, lab.Config{Name: cfg.Name, Mode: lab.DR, Family: lab.V4, Keepalived: file})
	if err != nil {
		return Result{}, errors.Join(err, os.RemoveAll(folder))
	}
	result = Result{Lab: cfg.Name, Mode: lab.DR, Family: lab.V4}
	defer func() {
		if err == nil && cfg.Keep { // with its file, which the director reads again
			result.Kept = true
			return
		}
		show(Waiting{Text: "taking the lab down"})
		err = errors.Join(err, l.Down(), os.RemoveAll(folder))
	}()
	s := &haStage{stage: stage{lab: l, family: lab.V4, show: show}}
	result.Checks, err = s.perform(ctx)
	return result, err
}

// An haStage is the play on a lab that is up.
type haStage struct {
	stage
	load *load
}

func (s *haStage) perform(ctx context.Context) ([]Check, error) {
	s.show(Scene{Lab: s.lab.Status()})
	s.show(Command{Node: lab.Director, Line: "cat keepalived.conf", Output: haConfig})
	s.load = startLoad(ctx, s.lab)
	defer s.load.stop()
	if err := s.pass(ctx, "requests on "+fmt.Sprint(loadRate)+" new connections a second", haQuiet); err != nil {
		return nil, err
	}
	if _, err := s.typed(ctx, lab.Director, "drover status"); err != nil {
		return nil, err
	}
	stopped := time.Now()
	if err := s.lab.StopServer(ctx, haServer); err != nil {
		return nil, err
	}
	s.show(Command{Node: haServer, Line: "kill the web server"})
	left, err := s.event(ctx, "Removing service [192.0.2.12]:tcp:80")
	if err != nil {
		return nil, err
	}
	settled := time.Now()
	if err := s.pass(ctx, "requests without "+haServer, haQuiet); err != nil {
		return nil, err
	}
	if _, err := s.typed(ctx, lab.Director, "drover status"); err != nil {
		return nil, err
	}
	without := s.load.between(settled, time.Now())
	back := time.Now()
	if err := s.lab.StartServer(ctx, haServer); err != nil {
		return nil, err
	}
	s.show(Command{Node: haServer, Line: "start the web server"})
	returned, err := s.event(ctx, "Adding service [192.0.2.12]:tcp:80")
	if err != nil {
		return nil, err
	}
	again := time.Now()
	if err := s.pass(ctx, "requests with "+haServer+" again", haQuiet); err != nil {
		return nil, err
	}
	if _, err := s.typed(ctx, lab.Director, "drover logs"); err != nil {
		return nil, err
	}
	checks := haChecks(s.load, stopped, settled, without, again)
	checks = append([]Check{
		verdict("the failed server left the pool", "", fmt.Sprintf("%.1f s after its web server was killed", left.Sub(stopped).Seconds())),
		verdict("it came back by itself", "", fmt.Sprintf("%.1f s after its web server was started", returned.Sub(back).Seconds())),
	}, checks...)
	for _, c := range checks {
		s.show(c)
	}
	return checks, nil
}

// haChecks judges the load.
func haChecks(l *load, stopped, settled time.Time, without tally, again time.Time) []Check {
	during, after := l.between(stopped, settled), l.between(again, time.Now())
	lost := ""
	if without.failed > 0 {
		lost = fmt.Sprintf("%d of %d failed: %s", without.failed, without.all(), without.reason)
	}
	shrunk := ""
	if without.servers[haServer] > 0 || without.all() == 0 {
		shrunk = fmt.Sprintf("%s answered %d", haServer, without.servers[haServer])
	}
	served := ""
	if after.servers[haServer] == 0 || after.failed > 0 {
		served = fmt.Sprintf("%s answered %d of %d, %d failed", haServer, after.servers[haServer], after.all(), after.failed)
	}
	return []Check{
		verdict("no request failed after the check", lost, fmt.Sprintf("%d requests; before, %d of %d had failed", without.all(), during.failed, during.all())),
		verdict("the others answered them all", shrunk, without.text()),
		verdict("the server that came back serves", served, after.text()),
	}
}

// pass lets the load go on for a while.
func (s *haStage) pass(ctx context.Context, text string, d time.Duration) error {
	for begin := time.Now(); time.Since(begin) < d; {
		s.show(Waiting{Text: text, Done: int(time.Since(begin) / (100 * time.Millisecond)), Of: int(d / (100 * time.Millisecond))})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// event waits until the director tells of something, and gives the time.
func (s *haStage) event(ctx context.Context, text string) (time.Time, error) {
	s.show(Waiting{Text: "waiting for the director: " + text})
	begin := time.Now()
	for time.Since(begin) < haPatience {
		output, err := s.run(ctx, lab.Director, "drover logs")
		if err != nil {
			return time.Time{}, fmt.Errorf("drover logs: %w: %s", err, strings.TrimSpace(output))
		}
		if strings.Contains(output, text) {
			return time.Now(), nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return time.Time{}, fmt.Errorf("the director has not said %q within %v", text, haPatience)
}
