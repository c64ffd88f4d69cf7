package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"drover/internal/lab"
)

func newLabExec(env *environment) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "exec NODE -- COMMAND [ARGUMENT...]",
		Short: "Run a command in a node",
		Example: `  drover lab exec director -- ipvsadm -A -t 192.0.2.100:80 -s rr
  drover lab exec client -- curl http://192.0.2.100/
  drover lab exec rs1 -- ip address`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(withoutDashes(args)) < 2 {
				return usageError("lab exec wants a node and a command")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			args = withoutDashes(args)
			l, err := lab.Open(name)
			if err != nil {
				return labError(err)
			}
			return labExec(env, l, args[0], args[1:])
		},
	}
	nameFlag(cmd, &name)
	cmd.Flags().SetInterspersed(false) // flags after the node are the command's
	return cmd
}

// withoutDashes drops the "--" between the node and the command.
func withoutDashes(args []string) []string {
	if len(args) > 1 && args[1] == "--" {
		return slices.Delete(slices.Clone(args), 1, 2)
	}
	return args
}

// labExec runs a command in a node as if it were run here: same terminal, same exit status.
func labExec(env *environment, l *lab.Lab, node string, args []string) error {
	// An interrupt at the terminal reaches the command too, and it is the one to decide.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGQUIT)
	defer signal.Stop(interrupts)
	cmd := l.Command(context.Background(), args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = env.stdin, env.stdout, env.stderr
	err := l.Start(node, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	exit := (*exec.ExitError)(nil)
	switch {
	case errors.As(err, &exit):
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			return &exitError{status: 128 + int(status.Signal())} // as a shell counts
		}
		return &exitError{status: status.ExitStatus()}
	case errors.Is(err, exec.ErrNotFound):
		return &exitError{status: 127, err: fmt.Errorf("%s: command not found", args[0])}
	}
	return labError(err)
}
