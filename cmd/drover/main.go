// Command drover is a Linux Virtual Server cluster in one program: the director's XDP data path,
// the ipvsadm command, and the lab that shows both.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// An exitError ends the program with a status of its own. Its error, if any, has not been printed.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() { os.Exit(run(systemEnv(), os.Args)) }

// run is main with its surroundings as arguments. It returns the exit status: 0, 1 for an error,
// 2 for wrong usage, and ipvsadm's own for ipvsadm.
func run(env *environment, args []string) int {
	if status, ok := runByName(env, args); ok {
		return status
	}
	root := newRootCommand(env)
	root.SetArgs(args[1:])
	err := root.Execute()
	if err == nil {
		return 0
	}
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.err != nil {
			fmt.Fprintf(env.stderr, "drover: %v\n", exit.err)
		}
		return exit.status
	}
	fmt.Fprintf(env.stderr, "drover: %v\n", err)
	return 1
}

func newRootCommand(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:           "drover",
		Short:         "A Linux Virtual Server cluster in one program",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{status: 2, err: err} })
	root.AddCommand(commands(env)...)
	return root
}
