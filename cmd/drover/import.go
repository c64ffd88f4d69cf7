package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/datapath"
	"drover/internal/firewall"
	"drover/internal/lvs"
)

// importFlags are common to `drover mark import` and `drover acl import`.
type importFlags struct{ dryRun bool }

func (f *importFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print what would be added, and change nothing")
}

const importHelp = `The rules are read from nft, iptables and iptables-legacy, as far as these are installed. What cannot be taken
over is printed with the reason, and the exit status is 1. Import again replaces nothing: flush first.`

// newMarkImport is `drover mark import`.
func newMarkImport(env *environment) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Take over the rules that mark packets in netfilter",
		Long:  "Take over the rules that mark packets in netfilter (MARK of the mangle table, meta mark set).\n" + importHelp,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chains, err := firewall.Read(cmd.Context())
			if err != nil {
				return err
			}
			rules, left := firewall.Marks(chains)
			for _, r := range rules {
				if _, err := fmt.Fprintln(env.stdout, "mark add", strings.Join(markWords(r), " ")); err != nil {
					return err
				}
			}
			if !f.dryRun && len(rules) > 0 {
				err = changeMarks(env, func(present []lvs.MarkRule) ([]lvs.MarkRule, error) { return append(present, rules...), nil })
			}
			if err != nil {
				return err
			}
			return reportLeft(env.stderr, left)
		},
	}
	f.addTo(cmd)
	return cmd
}

// newACLImport is `drover acl import`.
func newACLImport(env *environment) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Take over who is let in to the services by netfilter",
		Long: `Take over who is let in to the services by netfilter: the chains at input and prerouting, as far as their rules are
for the address and port of a service that is there. A rule for established connections is not needed, and left out: so
they are judged as new ones are.
` + importHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chains, err := firewall.Read(cmd.Context())
			if err != nil {
				return err
			}
			services, err := serviceKeys()
			if err != nil {
				return err
			}
			rules, left := firewall.Access(chains, services)
			for i := range rules {
				if rules[i].Interface == "lo" {
					rules[i].Interface = datapath.HostInterface
				}
				if _, err := fmt.Fprintln(env.stdout, "acl add", strings.Join(accessWords(rules[i]), " ")); err != nil {
					return err
				}
			}
			if !f.dryRun && len(rules) > 0 {
				err = addAccess(env, rules)
			}
			if err != nil {
				return err
			}
			return reportLeft(env.stderr, left)
		},
	}
	f.addTo(cmd)
	return cmd
}

func serviceKeys() (keys []lvs.ServiceKey, err error) {
	err = withTable(false, func(table *datapath.Table) error {
		states, err := table.Services()
		for _, s := range states {
			keys = append(keys, s.ServiceKey)
		}
		return err
	})
	return keys, err
}

func reportLeft(out io.Writer, left []firewall.Finding) error {
	for _, l := range left {
		fmt.Fprintf(out, "%s: %s: %s\n", l.Rule.Name(), l.Reason, l.Rule.Text)
	}
	if len(left) > 0 {
		return &exitError{1, fmt.Errorf("not taken over: %d of the rules", len(left))}
	}
	return nil
}

const warnedRules = 20 // at most, when the data path is loaded

// warnBypassed tells which rules of netfilter do not hold for what the data path forwards.
func warnBypassed(ctx context.Context, out io.Writer) {
	chains, err := firewall.Read(ctx)
	if err != nil {
		fmt.Fprintf(out, "drover: warning: rules of netfilter, which do not hold for what is forwarded, cannot be read: %v\n", err)
	}
	found := firewall.Bypassed(chains)
	for i, b := range found {
		if i == warnedRules {
			fmt.Fprintf(out, "drover: warning: and %d more\n", len(found)-warnedRules)
			return
		}
		fmt.Fprintf(out, "drover: warning: does not hold for what is forwarded: %s: %s: %s\n", b.Rule.Name(), b.Rule.Text, b.Reason)
	}
}
