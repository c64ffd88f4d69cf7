package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/config"
	"drover/internal/datapath"
	"drover/internal/director"
	"drover/internal/lvs"
)

// newPlanCommand is `drover plan`: what another file would change.
func newPlanCommand(env *environment) *cobra.Command {
	var file, id string
	var accept, asJSON bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Say what a keepalived.conf would change, and which live connections it would end",
		Long: `Say what a keepalived.conf would change of what the running director has, and which live connections it would end.
Nothing is changed.

Exit status: 0 if nothing would be lost, or with --accept; 1 on an error; 2 if connections would end or persistent clients
would move; 4 for a file that can't be read.`,
		Example: "  drover plan -f new.conf && cp new.conf /etc/keepalived/keepalived.conf && systemctl reload drover",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan, err := makePlan(cmd.Context(), file, id)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(env.stdout, plan)
			} else {
				err = drawPlan(newPrinter(env), plan)
			}
			if err == nil && plan.Connections+plan.Persistent > 0 && !accept {
				return &exitError{status: 2}
			}
			return err
		},
	}
	configFlags(cmd, &file, &id)
	cmd.Flags().BoolVar(&accept, "accept", false, "exit with 0 also where something would be lost")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func makePlan(ctx context.Context, file, id string) (*director.Plan, error) {
	next, _, err := config.Load(file, config.Options{ID: id})
	if err != nil {
		return nil, &exitError{config.StatusUnreadable, err}
	}
	now, err := askDirector(ctx)
	if errors.Is(err, api.ErrNotRunning) {
		now, err = &director.Snapshot{}, nil
	}
	if err != nil {
		return nil, err
	}
	table, err := datapath.Open(false)
	if errors.Is(err, datapath.ErrNotLoaded) {
		return director.MakePlan(now, next, func(lvs.ServiceKey) (lvs.ServiceState, error) { return lvs.ServiceState{}, nil })
	}
	if err != nil {
		return nil, err
	}
	defer table.Close() //nolint:errcheck // only read
	return director.MakePlan(now, next, table.Service)
}

func drawPlan(p *printer, plan *director.Plan) error {
	signs := map[string]string{"new": p.in(green, "+"), "gone": p.in(red, "-"), "changed": p.in(yellow, "~")}
	for _, c := range plan.Changes {
		if err := p.printf("%s %s\n", signs[c.Change], p.in(bold, c.Name)); err != nil {
			return err
		}
		for _, detail := range c.Details {
			if err := p.printf("    %s\n", detail); err != nil {
				return err
			}
		}
	}
	for _, vip := range plan.VIPsNew {
		if err := p.printf("%s VIP %s: the director must have it\n", signs["new"], vip); err != nil {
			return err
		}
	}
	for _, vip := range plan.VIPsGone {
		if err := p.printf("%s VIP %s is not served any more\n", signs["gone"], vip); err != nil {
			return err
		}
	}
	summary := fmt.Sprintf("%s would change, %d would not", plural(len(plan.Changes), "virtual server"), plan.Unchanged)
	loss := p.in(green, "no connection would be lost")
	if plan.Connections+plan.Persistent > 0 {
		loss = p.in(red, fmt.Sprintf("%s would end, %s would move", plural(plan.Connections, "connection"), plural(plan.Persistent, "persistent client")))
	}
	return p.printf("%s: %s\n", summary, loss)
}
