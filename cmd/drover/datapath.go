package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/datapath"
)

// newDatapathCommand is `drover datapath`: the XDP program of this network namespace. It works on the
// kernel's state directly, with no daemon.
func newDatapathCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "datapath",
		Short: "Load, upgrade, unload or look at the XDP data path of this network namespace",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown command %q for datapath", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDatapathLoad(env), newDatapathUpgrade(env), newDatapathUnload(env), newDatapathStatus(env),
		newDatapathVIP(env))
	return cmd
}

func newDatapathLoad(env *environment) *cobra.Command {
	var options datapath.Options
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Attach the data path to network interfaces",
		Long: `Attach the data path to network interfaces. It stays, with its services and connections, when this
command has ended, until "drover datapath unload" or the next boot.

Without --interface it takes those of the environment variable DROVER_INTERFACE (commas or spaces between
them), else the physical and veth interfaces that are up and have a global address.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := datapath.Load(options)
			if err != nil {
				return err
			}
			out := newPrinter(env)
			for _, warning := range loaded.Warnings {
				fmt.Fprintf(env.stderr, "drover: warning: %s\n", warning)
			}
			warnBypassed(cmd.Context(), env.stderr)
			verb := "is attached to"
			if loaded.Already {
				verb = "was already attached to"
			}
			return out.printf("The data path %s %s.\n", verb, interfaceNames(loaded.Interfaces))
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVarP(&options.Interfaces, "interface", "i", nil, "interface to attach to; may be repeated")
	flags.Uint32Var(&options.Connections, "connections", 0, "capacity of the connection table (default 1,048,576)")
	flags.BoolVar(&options.Generic, "generic", false, "use generic mode even where the driver has native XDP (slow)")
	return cmd
}

func newDatapathUnload(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "unload",
		Short: "Detach the data path, and forget its services and connections",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := datapath.Unload(); err != nil {
				return notLoaded(err)
			}
			return newPrinter(env).printf("The data path is unloaded.\n")
		},
	}
}

func newDatapathStatus(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show interfaces, programs, maps, memory and counters",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			status, err := datapath.ReadStatus()
			if err != nil {
				return notLoaded(err)
			}
			if asJSON {
				return writeJSON(env.stdout, status)
			}
			return printStatus(newPrinter(env), status)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// notLoaded adds to datapath.ErrNotLoaded what to do about it.
func notLoaded(err error) error {
	if errors.Is(err, datapath.ErrNotLoaded) {
		return fmt.Errorf(`%w in this network namespace ("drover datapath load" does it)`, err)
	}
	return err
}

// interfaceNames gives "eth0 (native), eth1 (generic)".
func interfaceNames(interfaces []datapath.Interface) string {
	var names []string
	for _, i := range interfaces {
		names = append(names, fmt.Sprintf("%s (%s)", i.Name, i.Mode))
	}
	return strings.Join(names, ", ")
}
