package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/director"
)

// newServerCommand is `drover server`: what the operator has to say of real servers.
func newServerCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Take real servers out, bring them back, change their weights, over the configuration",
		Long: `Take real servers out, bring them back, or change their weights, over the configuration. Such an override holds
over restarts and reloads, until it is cleared or its time is up; "drover status" shows it.

SERVER is RIP or RIP:PORT, in all virtual servers, or with --service in one: VIP:PORT, tcp/VIP:PORT, udp/VIP:PORT, mark/N.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown command %q for server", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newServerDisable(env), newServerEnable(env), newServerWeight(env))
	return cmd
}

// overrideFlags are those of every override.
type overrideFlags struct {
	service, reason string
	lasts           time.Duration
}

func (f *overrideFlags) add(cmd *cobra.Command, lasting bool) {
	cmd.Flags().StringVar(&f.service, "service", "", "only in this virtual server (default: in all)")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for those who look later")
	if lasting {
		cmd.Flags().DurationVar(&f.lasts, "for", 0, "how long it holds, such as 2h (default: until it is cleared)")
	}
}

func (f *overrideFlags) request(server string) (api.OverrideRequest, error) {
	r := api.OverrideRequest{ServerQuery: director.ServerQuery{VirtualServer: f.service, RealServer: server}, Reason: f.reason}
	if f.lasts < 0 {
		return r, usageError("--for %v: want a time from now on", f.lasts)
	}
	if f.lasts > 0 {
		r.Until = time.Now().Add(f.lasts)
	}
	return r, nil
}

func newServerDisable(env *environment) *cobra.Command {
	cmd := overrideCommand(env, true, "SERVER", func(r *api.OverrideRequest, _ []string) (string, error) {
		yes := true
		r.Disabled = &yes
		return "disabled", nil
	})
	cmd.Use, cmd.Short = "disable SERVER", "Give a real server no new connections; what it does goes on"
	cmd.Example = `  drover server disable 198.51.100.11 --reason "new kernel" --for 2h`
	return cmd
}

func newServerEnable(env *environment) *cobra.Command {
	cmd := overrideCommand(env, false, "SERVER", func(r *api.OverrideRequest, _ []string) (string, error) {
		r.Clear = true
		return "as configured", nil
	})
	cmd.Use, cmd.Short = "enable SERVER", "Clear the overrides of a real server: it is as the configuration and its checks say"
	return cmd
}

func newServerWeight(env *environment) *cobra.Command {
	cmd := overrideCommand(env, true, "SERVER WEIGHT", func(r *api.OverrideRequest, args []string) (string, error) {
		weight, err := strconv.ParseInt(args[1], 10, 32)
		if err != nil || weight < 0 || weight > 65535 {
			return "", usageError("weight %q: want 0 to 65535", args[1])
		}
		w := int32(weight)
		r.Weight = &w
		return fmt.Sprintf("weight %d", w), nil
	})
	cmd.Use, cmd.Short = "weight SERVER WEIGHT", "Give a real server another weight"
	return cmd
}

// overrideCommand sends a request that fill makes of the arguments, the first of which names the server; fill also says what the
// server is then.
func overrideCommand(env *environment, lasting bool, arguments string, fill func(*api.OverrideRequest, []string) (string, error)) *cobra.Command {
	var f overrideFlags
	cmd := &cobra.Command{
		Args: exactArgs(arguments, len(strings.Fields(arguments))),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.request(args[0])
			if err != nil {
				return err
			}
			what, err := fill(&r, args)
			if err != nil {
				return err
			}
			return override(cmd.Context(), env, r, what)
		},
	}
	f.add(cmd, lasting)
	return cmd
}

func override(ctx context.Context, env *environment, r api.OverrideRequest, what string) error {
	client, err := directorClient()
	if err != nil {
		return err
	}
	servers, err := client.Override(ctx, r)
	if err != nil {
		return fmt.Errorf("%s: %w", r.RealServer, err)
	}
	for _, s := range servers {
		fmt.Fprintf(env.stdout, "%s of %s: %s\n", s.RealServer, s.VirtualServer, what)
	}
	return nil
}
