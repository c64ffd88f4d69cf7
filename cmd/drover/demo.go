package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/lab"
	"drover/internal/lab/demo"
)

// demoOptions are the flags of `drover demo`.
type demoOptions struct {
	name, mode, family string
	keep, json         bool
}

// newDemoCommand is `drover demo`: an LVS tutorial that types itself, and proves what it says.
func newDemoCommand(env *environment) *cobra.Command {
	var options demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch a cluster forward HTTP by DR, by NAT and by TUN, with the packets that prove it",
		Long: `Watch a cluster forward HTTP by direct routing, by NAT and by tunnelling, with the packets that prove it.

For each mode a lab is brought up, set up with ipvsadm, and asked for a page a dozen times. What
crosses its networks is recorded and checked. The lab is removed at the end.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return runDemo(env, options) },
	}
	flags := cmd.Flags()
	flags.StringVar(&options.name, "name", "demo", "first part of the names of the labs")
	flags.StringVar(&options.mode, "mode", "all", "forwarding: dr, nat, tun or all")
	flags.StringVar(&options.family, "family", "v4", "addresses: v4 or v6")
	flags.BoolVar(&options.keep, "keep", false, "leave the labs up")
	flags.BoolVar(&options.json, "json", false, "print the result of the checks as JSON, and nothing else")
	cmd.AddCommand(newDemoHA(env))
	return cmd
}

// demoReport is what --json prints.
type demoReport struct {
	OK    bool          `json:"ok"`
	Modes []demo.Result `json:"modes"`
}

// plays checks the options and gives what is to be played.
func (o demoOptions) plays() ([]demo.Config, error) {
	modes := []lab.Mode{lab.Mode(o.mode)}
	switch o.mode {
	case "all":
		modes = []lab.Mode{lab.DR, lab.NAT, lab.TUN}
	case "dr", "nat", "tun":
	default:
		return nil, usageError("--mode %s: want dr, nat, tun or all", o.mode)
	}
	if o.family != "v4" && o.family != "v6" {
		return nil, usageError("--family %s: want v4 or v6", o.family)
	}
	var configs []demo.Config
	for _, mode := range modes {
		name := o.name + "-" + string(mode)
		if err := lab.CheckName(name); err != nil {
			return nil, labError(err)
		}
		configs = append(configs, demo.Config{Name: name, Mode: mode, Family: lab.Family(o.family), Keep: o.keep})
	}
	return configs, nil
}

// runDemo plays every mode, also when a check of one before it failed.
func runDemo(env *environment, options demoOptions) error {
	configs, err := options.plays()
	if err != nil {
		return err
	}
	// SIGPIPE too: a reader that leaves must not leave a lab behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	show, screen := func(demo.Event) {}, newDemoScreen(env)
	if !options.json {
		show = screen.show
	}
	began := time.Now()
	results := []demo.Result{}
	for _, cfg := range configs {
		result, err := demo.Run(ctx, cfg, show)
		screen.clear()
		if err != nil {
			return demoError(cfg, err)
		}
		results = append(results, result)
	}
	failed := failedChecks(results)
	if options.json {
		err = writeJSON(env.stdout, demoReport{len(failed) == 0, results})
	} else {
		err = screen.close(results, time.Since(began))
	}
	if err != nil {
		return err
	}
	if len(failed) > 0 {
		return fmt.Errorf("demo failed: %s", strings.Join(failed, "; "))
	}
	return nil
}

// failedChecks names each with its mode.
func failedChecks(results []demo.Result) []string {
	var failed []string
	for _, result := range results {
		for _, c := range result.Failed() {
			failed = append(failed, fmt.Sprintf("%s: %s", result.Mode, c.Name))
		}
	}
	return failed
}

func demoError(cfg demo.Config, err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("demo interrupted: %w", err)
	case errors.Is(err, lab.ErrUp):
		return fmt.Errorf(`%w: remove it with "drover lab down --name %s", or give this demo another --name`, err, cfg.Name)
	}
	return labError(fmt.Errorf("demo of %s: %w", cfg.Mode, err))
}
