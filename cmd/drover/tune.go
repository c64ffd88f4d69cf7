package main

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"drover/internal/datapath"
)

// newTuneCommand is `drover tune`: ip_vs's sysctls net.ipv4.vs.* by their names.
func newTuneCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tune",
		Short: "Show and set what ip_vs has sysctls for",
		Long: `Show and set what ip_vs has sysctls net.ipv4.vs.* for, by the same names. Of the defences drop_entry,
drop_packet and secure_tcp, mode 1 waits until memory is scarce: fewer free entries of the connection table
than amemthresh. The data path moves it to 2 then, and back.`,
		Args: noSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTuneList(env), newTuneGet(env), newTuneSet(env))
	return cmd
}

// noSubcommand refuses what is no command of the one that only has others.
func noSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("unknown command %q for %s", args[0], cmd.Name())
	}
	return nil
}

// tuneList is what list prints in JSON.
type tuneList struct {
	Tunes   []datapath.Tune        `json:"tunes"`
	Refused []datapath.NoTuneError `json:"refused"`
}

func newTuneList(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show all with value, default, range and meaning, and why others of ip_vs's cannot be set",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			var all []datapath.Tune
			err := withTable(false, func(t *datapath.Table) error { all = t.Tunes(); return nil })
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(env.stdout, tuneList{all, datapath.NoTunes})
			}
			return printTunes(newPrinter(env), all)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printTunes(p *printer, all []datapath.Tune) error {
	rows := [][]cell{header("name", "#value", "#default", "range", "meaning")}
	for _, tune := range all {
		value := cell{text: strconv.Itoa(int(tune.Value)), right: true}
		if tune.Value != tune.Default {
			value.style = yellow
		}
		rows = append(rows, []cell{
			{text: tune.Name},
			value,
			{text: strconv.Itoa(int(tune.Default)), right: true},
			{text: tune.Range()},
			{text: tune.Meaning, style: faint},
		})
	}
	if err := p.table(rows); err != nil {
		return err
	}
	if err := p.printf("\n%s\n", p.in(bold, "Others of ip_vs's, which cannot be set")); err != nil {
		return err
	}
	rows = nil
	for _, none := range datapath.NoTunes {
		rows = append(rows, []cell{{text: none.Name}, {text: none.Reason, style: faint}})
	}
	return p.table(rows)
}

func newTuneGet(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get NAME",
		Short: "Print one value",
		Args:  exactArgs("NAME", 1),
		RunE: func(_ *cobra.Command, args []string) error {
			tune, err := datapath.FindTune(args[0])
			if err != nil {
				return badTune(err)
			}
			err = withTable(false, func(t *datapath.Table) error {
				for _, each := range t.Tunes() {
					if each.Name == tune.Name {
						tune = each
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(env.stdout, tune)
			}
			return newPrinter(env).printf("%d\n", tune.Value)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newTuneSet(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "set NAME VALUE",
		Short: "Set one value, from the next packet on",
		Args:  exactArgs("NAME VALUE", 2),
		RunE: func(_ *cobra.Command, args []string) error {
			tune, err := datapath.ParseTune(args[0], args[1])
			if err != nil {
				return badTune(err)
			}
			if err := withTable(true, func(t *datapath.Table) error { return t.SetTunes(tune) }); err != nil {
				return err
			}
			if asJSON {
				return writeJSON(env.stdout, tune)
			}
			return newPrinter(env).printf("%s is %d\n", tune.Name, tune.Value)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().SetInterspersed(false) // a value may be below 0
	return cmd
}

// badTune gives wrong input its exit status.
func badTune(err error) error { return &exitError{status: 2, err: err} }

// withTable does something to the loaded data path's table: to read it, or to change it.
func withTable(change bool, f func(*datapath.Table) error) error {
	table, err := datapath.Open(change)
	if err != nil {
		return notLoaded(err)
	}
	return errors.Join(f(table), table.Close())
}
