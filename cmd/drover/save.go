package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"drover/internal/datapath"
)

const savedHeading = `# What "drover restore" makes again: a command of drover's a line, in any order but that what a line
# names must stand before it. Empty lines and those that begin with # are passed over.
`

// newSaveCommand is `drover save`: what ipvsadm-save forgets, too.
func newSaveCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "save",
		Short: "Print all that is configured, for drover restore",
		Long: `Print all that is configured as text that "drover restore" reads: services and servers with their thresholds,
timeouts, tunes, and what else ipvsadm-save forgets. Connections and counters are not kept.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			table, err := datapath.Open(true) // the lock: nothing changes between two kinds
			if errors.Is(err, datapath.ErrNotLoaded) {
				return save(env.stdout, datapath.EmptyTable{})
			}
			if err != nil {
				return err
			}
			return errors.Join(save(env.stdout, table), table.Close())
		},
	}
}

// save writes each kind's lines below its title.
func save(w io.Writer, t savedTable) error {
	if _, err := io.WriteString(w, savedHeading); err != nil {
		return err
	}
	for _, kind := range savedKinds {
		lines, err := kind.lines(t)
		if err != nil {
			return err
		}
		if len(lines) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "\n# %s\n", kind.title()); err != nil {
			return err
		}
		for _, line := range lines {
			if _, err := fmt.Fprintln(w, kind.word(), line); err != nil {
				return err
			}
		}
	}
	return nil
}
