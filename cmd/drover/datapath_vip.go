package main

import (
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"drover/internal/datapath"
)

// vipState is a VIP and who has it.
type vipState struct {
	VIP   netip.Addr `json:"vip"`
	State string     `json:"state"` // active | standby
}

const (
	vipActive  = "active"
	vipStandby = "standby"
)

// newDatapathVIP is `drover datapath vip`: two machines that are directors and servers at once.
func newDatapathVIP(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "vip [VIP active|standby]",
		Short: "Say whether this director has a VIP, or show it",
		Long: `Say whether this director has a VIP. On standby whatever comes for the VIP is left to the host, which may be a real
server of it: so a packet that another director forwarded is not balanced again. A VIP that nothing was said of is
active. Without arguments the VIPs of all services are shown.`,
		Example: "  drover datapath vip 192.0.2.10 standby",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return usageError("datapath vip: want VIP and active or standby, or nothing")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 2 {
				return setVIP(args[0], args[1])
			}
			return showVIPs(env, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func setVIP(vip, state string) error {
	addr, err := netip.ParseAddr(vip)
	if err != nil || addr.Zone() != "" {
		return usageError("datapath vip %s: want an IPv4 or IPv6 address", vip)
	}
	if state != vipActive && state != vipStandby {
		return usageError("datapath vip %s %s: want active or standby", vip, state)
	}
	return withTable(true, func(table *datapath.Table) error {
		return table.SetStandby(addr.Unmap(), state == vipStandby)
	})
}

func showVIPs(env *environment, asJSON bool) error {
	var states []vipState
	err := withTable(false, func(table *datapath.Table) (err error) {
		states, err = vipStates(table)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(env.stdout, states)
	}
	out := newPrinter(env)
	rows := [][]cell{{{text: "VIP", style: bold}, {text: "state", style: bold}}}
	for _, s := range states {
		color := green
		if s.State == vipStandby {
			color = yellow
		}
		rows = append(rows, []cell{{text: s.VIP.String()}, {text: s.State, style: color}})
	}
	return out.table(rows)
}

// vipStates gives the VIPs of services and those on standby, sorted.
func vipStates(table *datapath.Table) ([]vipState, error) {
	services, err := table.Services()
	if err != nil {
		return nil, err
	}
	standby, err := table.Standby()
	if err != nil {
		return nil, err
	}
	vips := slices.Clone(standby)
	for _, s := range services {
		if s.Mark == 0 {
			vips = append(vips, s.Addr.Addr())
		}
	}
	slices.SortFunc(vips, netip.Addr.Compare)
	states := make([]vipState, 0, len(vips))
	for _, vip := range slices.Compact(vips) {
		state := vipActive
		if slices.Contains(standby, vip) {
			state = vipStandby
		}
		states = append(states, vipState{vip, state})
	}
	return states, nil
}
