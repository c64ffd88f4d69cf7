package main

import (
	"context"

	"github.com/spf13/cobra"

	"drover/internal/lab"
)

// newLabStop is `drover lab stop`: a web server that dies.
func newLabStop() *cobra.Command {
	return labServerCommand("stop SERVER", "End the server program of a real server: rs1, rs2 or rs3", (*lab.Lab).StopServer)
}

// newLabStart is `drover lab start`: and one that comes back.
func newLabStart() *cobra.Command {
	return labServerCommand("start SERVER", "Start the server program of a real server again", (*lab.Lab).StartServer)
}

func labServerCommand(use, short string, change func(*lab.Lab, context.Context, string) error) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  exactArgs("SERVER", 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(name)
			if err != nil {
				return labError(err)
			}
			return labError(change(l, cmd.Context(), args[0]))
		},
	}
	nameFlag(cmd, &name)
	return cmd
}
