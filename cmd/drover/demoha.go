package main

import (
	"context"
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

// newDemoHA is `drover demo ha`: a server that dies under load.
func newDemoHA(env *environment) *cobra.Command {
	options := demoOptions{}
	cmd := &cobra.Command{
		Use:   "ha",
		Short: "Watch a server die under load: the pool shrinks, no request fails after the check, and it comes back",
		Long: `Watch a server die under load: the pool shrinks, no request fails after the check, and it comes back.

A lab is brought up whose director keeps a keepalived.conf. While a client asks for a page 50 times a second, the web server
of one real server is killed, and started again later. The lab is removed at the end.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return runDemoHA(env, options) },
	}
	cmd.Flags().StringVar(&options.name, "name", "demo-ha", "name of the lab")
	cmd.Flags().BoolVar(&options.keep, "keep", false, "leave the lab up")
	cmd.Flags().BoolVar(&options.json, "json", false, "print the result of the checks as JSON, and nothing else")
	return cmd
}

func runDemoHA(env *environment, options demoOptions) error {
	if err := lab.CheckName(options.name); err != nil {
		return labError(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	show, screen := func(demo.Event) {}, newDemoScreen(env)
	if !options.json {
		show = screen.show
	}
	began := time.Now()
	cfg := demo.Config{Name: options.name, Mode: lab.DR, Family: lab.V4, Keep: options.keep}
	result, err := demo.RunHA(ctx, cfg, show)
	screen.clear()
	if err != nil {
		return demoError(cfg, err)
	}
	results := []demo.Result{result}
	failed := failedChecks(results)
	if options.json {
		err = writeJSON(env.stdout, demoReport{len(failed) == 0, results})
	} else {
		err = screen.close(results, time.Since(began))
	}
	if err == nil && len(failed) > 0 {
		err = fmt.Errorf("demo failed: %s", strings.Join(failed, "; "))
	}
	return err
}
