package main

import (
	"github.com/spf13/cobra"

	"drover/internal/datapath"
)

func newDatapathUpgrade(env *environment) *cobra.Command {
	var force, asJSON bool
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Put this version's programs in the place of those that run",
		Long: `Put this version's programs in the place of those that run, over the same maps: services, connections and
counters stay, and no packet is lost. Where a map's layout has changed, it is converted, or the upgrade is
refused and nothing changed. Interrupted, it is carried on by the next command that changes something.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			done, err := datapath.Upgrade(force)
			if err != nil {
				return notLoaded(err)
			}
			if asJSON {
				return writeJSON(env.stdout, done)
			}
			return printUpgraded(newPrinter(env), done)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also where the programs are already this version's")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printUpgraded writes the programs' tags before and after, and what became of each map.
func printUpgraded(p *printer, done *datapath.Upgraded) error {
	if done.Already {
		return p.printf("The data path is already this version.\n")
	}
	if err := p.printf("The data path is upgraded.\n\n%s\n", p.in(bold, "Programs")); err != nil {
		return err
	}
	rows := [][]cell{header("name", "old", "new")}
	for _, program := range done.Programs {
		rows = append(rows, []cell{{text: program.Name}, tagCell(program.Old), tagCell(program.New)})
	}
	if err := p.table(rows); err != nil {
		return err
	}
	if err := p.printf("\n%s\n", p.in(bold, "Maps")); err != nil {
		return err
	}
	rows = [][]cell{header("name", "action", "why")}
	for _, m := range done.Maps {
		why := cell{text: m.Why, style: faint}
		if m.Why == "" {
			why.text = "-"
		}
		rows = append(rows, []cell{{text: m.Name}, {text: m.Action}, why})
	}
	return p.table(rows)
}

// tagCell shows a version's lack of a program as a dash.
func tagCell(tag string) cell {
	if tag == "" {
		return cell{text: "-", style: faint}
	}
	return cell{text: tag}
}
