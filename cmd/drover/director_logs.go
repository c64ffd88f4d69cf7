package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"drover/internal/director"
)

// newLogsCommand is `drover logs`: what has happened to the pools.
func newLogsCommand(env *environment) *cobra.Command {
	var follow, asJSON bool
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show what has happened: servers that left and why, quorums, overrides, reloads",
		Long: `Show what has happened since the director began, as far as it keeps it (4,096 events): servers that left the
pool and why, quorums, sorry servers, overrides, reloads.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			return runLogs(ctx, env, since, follow, asJSON)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on showing what happens")
	cmd.Flags().DurationVar(&since, "since", 0, "only what happened in the last while, such as 5m")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a line of JSON for each event")
	return cmd
}

func runLogs(ctx context.Context, env *environment, since time.Duration, follow, asJSON bool) error {
	client, err := directorClient()
	if err != nil {
		return err
	}
	out := newPrinter(env)
	var seq uint64
	for first := true; first || follow; first = false {
		events, err := client.Events(ctx, seq, !first)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if len(events) > 0 {
			seq = events[len(events)-1].Seq
		}
		if first && since > 0 {
			events = after(events, time.Now().Add(-since))
		}
		if asJSON {
			err = jsonLines(env, events)
		} else {
			err = drawEvents(out, events)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func after(events []director.Event, t time.Time) []director.Event {
	for i := range events {
		if events[i].Time.After(t) {
			return events[i:]
		}
	}
	return nil
}

func jsonLines(env *environment, events []director.Event) error {
	encoder := json.NewEncoder(env.stdout)
	for i := range events {
		if err := encoder.Encode(&events[i]); err != nil {
			return err
		}
	}
	return nil
}

func drawEvents(p *printer, events []director.Event) error {
	for _, e := range events {
		message, reason := withReason(e.Message, e.Reason)
		text := p.in(eventStyle(&e), message) + reason
		if _, err := fmt.Fprintf(p.w, "%s  %s\n", p.in(faint, e.Time.Local().Format("15:04:05.000")), text); err != nil {
			return err
		}
	}
	return nil
}

// withReason puts a reason behind keepalived's words, which may end with a full stop.
func withReason(message, reason string) (string, string) {
	if reason == "" {
		return message, ""
	}
	return strings.TrimSuffix(message, "."), ": " + reason
}

func eventStyle(e *director.Event) style {
	switch e.State {
	case "DOWN":
		return red
	case "UP", "DONE", "RELEASED":
		return green
	case "FAILED", "REFUSED", "HOLDING":
		return yellow
	}
	return plain
}
