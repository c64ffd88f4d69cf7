package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newReloadCommand is `drover reload`: SIGHUP that answers.
func newReloadCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the director read its configuration again, and say what came of it",
		Long: `Have the director read its configuration again, as SIGHUP does, and wait until it is in force. One that can't be used is
refused, and the one in force stays.

Exit status: 0 when it is in force, 1 when it is refused, or no director runs.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := directorClient()
			if err != nil {
				return err
			}
			if err := client.Reload(cmd.Context()); err != nil {
				return err
			}
			s, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(env.stdout, "%s is in force: %s, %d new, %d gone, after %v\n", s.Config,
				plural(len(s.VirtualServers), "virtual server"), s.Reload.Added, s.Reload.Removed, s.Reload.Took.Round(1000000))
			return err
		},
	}
}
