package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"drover/internal/drain"
)

// newDrainCommand is `drover drain`: a server is taken out at noon.
func newDrainCommand(env *environment) *cobra.Command {
	var c drain.Config
	cmd := &cobra.Command{
		Use:   "drain SERVICE SERVER",
		Short: "Take a real server out of service, without ending what it is doing",
		Long: `Take a real server out of service: it gets no new connections, and this command ends when it has none
that goes on. Persistent clients stay with it until their last connection has ended. At the deadline what is left is
ended with RST; without one the command waits. Interrupted, it leaves the server as it is, without new connections:
type it again to go on, or bring the server back with "drover slowstart".

SERVICE is tcp/VIP:PORT, udp/VIP:PORT, mark/N or mark6/N; VIP:PORT alone is TCP's. SERVER is RIP:PORT.

Exit status: 0 when nothing goes on any more, 1 if something does, or on an error, 2 for wrong usage.`,
		Example: "  drover drain 192.0.2.10:80 198.51.100.11:80 --deadline 60s",
		Args:    exactArgs("SERVICE SERVER", 2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if c.Service, c.Server, err = serverArguments(args[0], args[1]); err != nil {
				return err
			}
			if c.Deadline < 0 {
				return usageError("--deadline %v: want a time from now on", c.Deadline)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			return runDrain(ctx, newPrinter(env), c)
		},
	}
	cmd.Flags().DurationVar(&c.Deadline, "deadline", 0, "end what is left after this time (default: wait)")
	cmd.Flags().BoolVar(&c.Last, "last", false, "also the last server that takes connections: the service then refuses")
	return cmd
}

func runDrain(ctx context.Context, out *printer, c drain.Config) error {
	c.Progress = func(left int) {
		_ = out.printf("%d left\n", left) // what can't be shown is done all the same
	}
	result, err := drain.Run(ctx, c)
	if errors.Is(err, context.Canceled) {
		return &exitError{1, fmt.Errorf("interrupted, %d left: %s takes no new connections of %s", result.Left, c.Server, c.Service)}
	}
	if errors.Is(err, drain.ErrLast) {
		return fmt.Errorf(`%w ("--last" drains it all the same)`, err)
	}
	if err != nil {
		return notLoaded(err)
	}
	if result.Reset > 0 {
		if err := out.printf("%d reset at the deadline\n", result.Reset); err != nil {
			return err
		}
	}
	if result.Left > 0 {
		return fmt.Errorf("%d are still there: their clients do not answer; they are reset when they do", result.Left)
	}
	return out.printf("%s is drained of %s\n", c.Server, c.Service)
}

// newSlowstartCommand is `drover slowstart`: a server comes back.
func newSlowstartCommand(env *environment) *cobra.Command {
	var s drain.Start
	cmd := &cobra.Command{
		Use:   "slowstart SERVICE SERVER",
		Short: "Bring a real server back, raising its weight step by step",
		Long: `Bring a real server back: its weight begins with 1 and is raised each second until it is what it was, or
--weight, after --over. Interrupted, the command leaves the server with the weight that it has; so it does when
somebody else changes the weight meanwhile.

SERVICE and SERVER are as for "drover drain".`,
		Example: "  drover slowstart 192.0.2.10:80 198.51.100.11:80 --weight 100 --over 30s",
		Args:    exactArgs("SERVICE SERVER", 2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if s.Service, s.Server, err = serverArguments(args[0], args[1]); err != nil {
				return err
			}
			if s.Weight < 0 || s.Over < 0 {
				return usageError("--weight and --over: want 0 or more")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			return runSlowstart(ctx, newPrinter(env), s)
		},
	}
	cmd.Flags().Int32Var(&s.Weight, "weight", 0, "weight to arrive at (default: the last that it had)")
	cmd.Flags().DurationVar(&s.Over, "over", 30*time.Second, "how long it takes; 0s: at once")
	return cmd
}

func runSlowstart(ctx context.Context, out *printer, s drain.Start) error {
	var at int32
	s.Progress = func(weight, to int32) {
		at = weight
		_ = out.printf("weight %d of %d\n", weight, to)
	}
	err := s.Run(ctx)
	if errors.Is(err, context.Canceled) {
		return &exitError{1, fmt.Errorf("interrupted: %s stays at weight %d", s.Server, at)}
	}
	return notLoaded(err)
}

// exactArgs wants so many arguments, and says which.
func exactArgs(names string, n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError("%s: want %s, got %d arguments", cmd.CommandPath(), names, len(args))
		}
		return nil
	}
}
