package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"drover/internal/config"
	"drover/internal/lab"
	"drover/internal/lvs"
)

// newLabCommand is `drover lab`: a cluster in network namespaces, on this machine alone.
func newLabCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Build a small cluster in network namespaces and try it",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown command %q for lab", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLabUp(env), newLabDown(env), newLabStatus(env), newLabExec(env), newLabCurl(env), newLabStop(), newLabStart(), newLabServe())
	return cmd
}

func usageError(format string, args ...any) error {
	return &exitError{status: 2, err: fmt.Errorf(format, args...)}
}

// labError gives wrong input its exit status.
func labError(err error) error {
	if errors.Is(err, lab.ErrConfig) {
		return &exitError{status: 2, err: err}
	}
	return err
}

// noArgs is cobra.NoArgs with the exit status of wrong usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("%s takes no argument: %q", cmd.CommandPath(), args[0])
	}
	return nil
}

func nameFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", "lab", "name of the lab")
}

func newLabUp(env *environment) *cobra.Command {
	var cfg lab.Config
	var mode, layout, family, server, file string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make a lab: client, router, director and three real servers",
		Long: `Make a lab: client, router, director and three real servers, each a network namespace.

Layouts of mode dr:
  router         client -- router -- one segment with the director and the servers (default)
  one-arm        client, director and servers on one segment
  two-interface  clients reach the director's eth0, the servers are at its eth1
Layouts of mode nat:
  gateway        client -- router -- director -- servers on a second network (default)
  one-arm        client, director and servers on one segment
Layouts of mode tun:
  remote         client -- router -- director, and the servers in a third network of the router's (default)
  router         as of mode dr

Services are not made. Make them as on any director:
  drover lab exec director -- ipvsadm -A -t 192.0.2.100:80 -s rr
or give the lab a keepalived.conf with --config: its director then runs "drover director" with it, and --mode is by
default the file's.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" {
				if err := labFromConfig(&cfg, file, &mode, cmd.Flags().Changed("mode")); err != nil {
					return err
				}
			}
			cfg.Mode, cfg.Layout = lab.Mode(mode), lab.Layout(layout)
			cfg.Family, cfg.Server = lab.Family(family), lab.Server(server)
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			l, err := lab.Up(ctx, cfg)
			if errors.Is(err, context.Canceled) {
				return fmt.Errorf("interrupted, the lab is taken down again: %w", err)
			}
			if err != nil {
				return labError(err)
			}
			return l.Status().Draw(env.stdout)
		},
	}
	nameFlag(cmd, &cfg.Name)
	cmd.Flags().StringVar(&mode, "mode", "dr", "forwarding: dr, nat or tun")
	cmd.Flags().StringVar(&layout, "layout", "", "how the nodes are wired (default router for dr, gateway for nat, remote for tun)")
	cmd.Flags().StringVar(&family, "family", "both", "addresses: v4, v6 or both")
	cmd.Flags().IntVar(&cfg.MTU, "mtu", 1500, "MTU of the links, up to 9000 bytes")
	cmd.Flags().StringVar(&server, "server", "drover", "program on the real servers: drover or nginx")
	cmd.Flags().StringVar(&file, "config", "", "keepalived.conf for the director")
	return cmd
}

// labFromConfig has a lab run a keepalived.conf, in the mode of its first real server unless another was asked for.
func labFromConfig(cfg *lab.Config, file string, mode *string, asked bool) error {
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	c, _, err := config.Load(path, config.Options{})
	if err != nil {
		return &exitError{2, err}
	}
	cfg.Keepalived = path
	for i := range c.VirtualServers {
		if servers := c.VirtualServers[i].RealServers; len(servers) > 0 && !asked {
			*mode = modes[servers[0].Destination.Forwarding]
			break
		}
	}
	return nil
}

// modes are the labs' for each forwarding method.
var modes = map[lvs.Forwarding]string{lvs.DirectRoute: string(lab.DR), lvs.Masquerade: string(lab.NAT), lvs.Tunnel: string(lab.TUN)}

func newLabDown(env *environment) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove a lab and everything that belongs to it",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := lab.Open(name)
			if errors.Is(err, lab.ErrNotUp) {
				fmt.Fprintln(env.stdout, err)
				return nil
			}
			if err != nil {
				return labError(err)
			}
			return l.Down()
		},
	}
	nameFlag(cmd, &name)
	return cmd
}

func newLabStatus(env *environment) *cobra.Command {
	var name string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Draw a lab: networks, addresses, MACs, processes",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := lab.Open(name)
			if err != nil {
				return labError(err)
			}
			if asJSON {
				return writeJSON(env.stdout, l.Status())
			}
			return l.Status().Draw(env.stdout)
		},
	}
	nameFlag(cmd, &name)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// newLabServe is what `lab up` runs on the real servers.
func newLabServe() *cobra.Command {
	return &cobra.Command{
		Use:    "serve NAME",
		Hidden: true,
		RunE:   func(_ *cobra.Command, args []string) error { return labError(lab.ServeCommand(args)) },
	}
}
