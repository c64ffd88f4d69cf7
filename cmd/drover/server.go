package main

import (
	"context"
	"fmt"
	"strconv"
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
	var f overrideFlags
	cmd := &cobra.Command{
		Use:     "disable SERVER",
		Short:   "Give a real server no new connections; what it does goes on",
		Example: `  drover server disable 198.51.100.11 --reason "new kernel" --for 2h`,
		Args:    exactArgs("SERVER", 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.request(args[0])
			if err != nil {
				return err
			}
			yes := true
			r.Disabled = &yes
			return override(cmd.Context(), env, r, "disabled")
		},
	}
	f.add(cmd, true)
	return cmd
}

func newServerEnable(env *environment) *cobra.Command {
	var f overrideFlags
	cmd := &cobra.Command{
		Use:   "enable SERVER",
		Short: "Clear the overrides of a real server: it is as the configuration and its checks say",
		Args:  exactArgs("SERVER", 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.request(args[0])
			if err != nil {
				return err
			}
			r.Clear = true
			return override(cmd.Context(), env, r, "as configured")
		},
	}
	f.add(cmd, false)
	return cmd
}

func newServerWeight(env *environment) *cobra.Command {
	var f overrideFlags
	cmd := &cobra.Command{
		Use:   "weight SERVER WEIGHT",
		Short: "Give a real server another weight",
		Args:  exactArgs("SERVER WEIGHT", 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			weight, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil || weight < 0 || weight > 65535 {
				return usageError("weight %q: want 0 to 65535", args[1])
			}
			r, err := f.request(args[0])
			if err != nil {
				return err
			}
			w := int32(weight)
			r.Weight = &w
			return override(cmd.Context(), env, r, fmt.Sprintf("weight %d", w))
		},
	}
	f.add(cmd, true)
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
