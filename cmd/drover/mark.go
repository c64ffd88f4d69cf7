package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"drover/internal/datapath"
	"drover/internal/lvs"
)

// newMarkCommand is `drover mark`: the classifier in front of the services of firewall marks.
func newMarkCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mark",
		Short: "Mark packets for services of firewall marks (ipvsadm -f)",
		Long: `Mark packets for services of firewall marks (ipvsadm -f). XDP comes before netfilter, so the MARK rules of the
mangle table do not reach it; these rules take their place and work alike: each that matches, in their order, changes
the packet's mark, and later ones what earlier ones did.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown command %q for mark", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMarkAdd(env), newMarkDel(), newMarkFlush(), newMarkList(env), newMarkImport(env))
	return cmd
}

// markFlags are a rule as it is written.
type markFlags struct{ mark, protocol, family, destination, source, ports, sourcePorts, in string }

// addTo makes the flags known.
func (f *markFlags) addTo(flags *pflag.FlagSet) {
	flags.StringVar(&f.mark, "mark", "", "mark to set; with a mask, only those bits")
	flags.StringVar(&f.protocol, "proto", "", "tcp or udp (default: both)")
	flags.StringVar(&f.family, "family", "", "4 or 6, where no address says it (default: both)")
	flags.StringVar(&f.destination, "dst", "", "destination address or prefix")
	flags.StringVar(&f.ports, "dport", "", "destination port or range")
	flags.StringVar(&f.source, "src", "", "source address or prefix")
	flags.StringVar(&f.sourcePorts, "sport", "", "source port or range")
	flags.StringVar(&f.in, "in", "", "interface that the packet comes in by")
}

// rule reads the flags; its errors have the exit status of wrong usage.
func (f markFlags) rule() (lvs.MarkRule, error) {
	r := lvs.MarkRule{Interface: f.in}
	var err error
	if r.Value, r.Mask, err = parseMark(f.mark); err != nil {
		return r, usageError("%v", err)
	}
	protocols := map[string]lvs.Protocol{"": lvs.ProtocolNone, "tcp": lvs.TCP, "udp": lvs.UDP}
	protocol, ok := protocols[f.protocol]
	if !ok {
		return r, usageError("--proto %s: want tcp or udp", f.protocol)
	}
	r.Protocol = protocol
	families := map[string]lvs.Family{"": 0, "4": lvs.IPv4, "6": lvs.IPv6}
	if r.Only, ok = families[f.family]; !ok {
		return r, usageError("--family %s: want 4 or 6", f.family)
	}
	for _, p := range []struct {
		flag, text string
		to         *netip.Prefix
	}{{"--dst", f.destination, &r.Destination}, {"--src", f.source, &r.Source}} {
		if *p.to, err = parsePrefix(p.text); err != nil {
			return r, usageError("%s %s: want ADDRESS or ADDRESS/BITS", p.flag, p.text)
		}
	}
	for _, p := range []struct {
		flag, text string
		to         *lvs.PortRange
	}{{"--dport", f.ports, &r.Ports}, {"--sport", f.sourcePorts, &r.SourcePorts}} {
		if p.text == "" {
			continue
		}
		if *p.to, err = lvs.ParsePortRange(p.text); err != nil {
			return r, usageError("%s: %v", p.flag, err)
		}
	}
	if err := r.Check(); err != nil {
		return r, usageError("%v", err)
	}
	return r, nil
}

// parseMark reads "N" or "N/MASK", decimal or 0x.
func parseMark(text string) (value, mask uint32, err error) {
	number, of, masked := strings.Cut(text, "/")
	v, err := strconv.ParseUint(number, 0, 32)
	m := uint64(0xffffffff)
	if err == nil && masked {
		m, err = strconv.ParseUint(of, 0, 32)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("--mark %q: want N or N/MASK, 32 bits", text)
	}
	return uint32(v), uint32(m), nil
}

// parsePrefix reads an address, which stands for itself, or a prefix; nothing is the zero value.
func parsePrefix(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("prefix %q", text)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func newMarkAdd(env *environment) *cobra.Command {
	var f markFlags
	at := 0
	cmd := &cobra.Command{
		Use:     "add --mark N[/MASK] [--proto P] [--dst PREFIX] [--dport A-B] [--src PREFIX] [--sport A-B] [--in IF]",
		Short:   "Add a rule behind the others, or at a place among them",
		Example: "  drover mark add --mark 1 --proto tcp --dst 192.0.2.10 --dport 80\n  drover mark add --mark 1 --proto tcp --dst 192.0.2.10 --dport 443",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			r, err := f.rule()
			if err != nil {
				return err
			}
			return changeMarks(env, func(rules []lvs.MarkRule) ([]lvs.MarkRule, error) {
				place := len(rules)
				if at != 0 {
					place = at - 1
				}
				if place < 0 || place > len(rules) {
					return nil, usageError("--at %d: want 1 to %d", at, len(rules)+1)
				}
				return slices.Insert(rules, place, r), nil
			})
		},
	}
	f.addTo(cmd.Flags())
	cmd.Flags().IntVar(&at, "at", 0, "number that the rule gets (default: the last)")
	return cmd
}

// changeMarks loads the data path, if need be, and puts another list in force.
func changeMarks(env *environment, change func([]lvs.MarkRule) ([]lvs.MarkRule, error)) error {
	table, err := openOrLoad(env)
	if err != nil {
		return err
	}
	defer table.Close() //nolint:errcheck // the change is made
	rules, err := table.Marks()
	if err != nil {
		return err
	}
	if rules, err = change(rules); err != nil {
		return err
	}
	return table.SetMarks(rules)
}

func newMarkDel() *cobra.Command {
	return &cobra.Command{
		Use:   "del NUMBER",
		Short: "Delete a rule by its number in the list",
		Args:  exactArgs("NUMBER", 1),
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 {
				return usageError("mark del %s: want the number of a rule, from 1", args[0])
			}
			return withTable(true, func(table *datapath.Table) error {
				rules, err := table.Marks()
				if err != nil {
					return err
				}
				if n > len(rules) {
					return fmt.Errorf("mark rule %d: there are %d", n, len(rules))
				}
				return table.SetMarks(slices.Delete(rules, n-1, n))
			})
		},
	}
}

func newMarkFlush() *cobra.Command {
	return &cobra.Command{
		Use:   "flush",
		Short: "Delete all rules",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			return withTable(true, func(table *datapath.Table) error { return table.SetMarks(nil) })
		},
	}
}

// markRuleJSON is a rule as `drover mark list --json` prints it.
type markRuleJSON struct {
	Number      int    `json:"number"`
	Mark        uint32 `json:"mark"`
	Mask        uint32 `json:"mask"`
	Protocol    string `json:"protocol,omitempty"`
	Destination string `json:"destination,omitempty"`
	Ports       string `json:"ports,omitempty"`
	Source      string `json:"source,omitempty"`
	SourcePorts string `json:"source_ports,omitempty"`
	Interface   string `json:"interface,omitempty"`
	Packets     uint64 `json:"packets"`
}

func newMarkList(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the rules, and how many packets each matched",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			return withTable(false, func(table *datapath.Table) error {
				rules, err := table.Marks()
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(env.stdout, markRulesJSON(rules))
				}
				return printMarks(newPrinter(env), rules)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func markRulesJSON(rules []lvs.MarkRule) []markRuleJSON {
	all := make([]markRuleJSON, 0, len(rules))
	for i, r := range rules {
		all = append(all, markRuleJSON{
			Number: i + 1, Mark: r.Value, Mask: r.Mask, Protocol: protocolText(r.Protocol, ""),
			Destination: prefixText(r.Destination, ""), Ports: r.Ports.String(),
			Source: prefixText(r.Source, ""), SourcePorts: r.SourcePorts.String(), Interface: r.Interface, Packets: r.Hits,
		})
	}
	return all
}

func printMarks(out *printer, rules []lvs.MarkRule) error {
	rows := [][]cell{headings(">", "mark", "protocol", "destination", "ports", "source", "ports", "interface", ">packets")}
	for i, r := range rules {
		rows = append(rows, []cell{
			{text: strconv.Itoa(i + 1), right: true},
			{text: markText(r), style: green},
			{text: protocolText(r.Protocol, "any")},
			{text: prefixText(r.Destination, "any")},
			{text: orAny(r.Ports.String())},
			{text: prefixText(r.Source, "any")},
			{text: orAny(r.SourcePorts.String())},
			{text: orAny(r.Interface)},
			{text: countText(r.Hits), right: true},
		})
	}
	return out.table(rows)
}

// headings are the names of columns; one that begins with ">" is of numbers.
func headings(names ...string) []cell {
	var row []cell
	for _, name := range names {
		text, right := strings.CutPrefix(name, ">")
		row = append(row, cell{text: text, style: bold, right: right})
	}
	return row
}

func markText(r lvs.MarkRule) string {
	if r.Mask == 0xffffffff {
		return strconv.FormatUint(uint64(r.Value), 10)
	}
	return fmt.Sprintf("%#x/%#x", r.Value, r.Mask)
}

func protocolText(p lvs.Protocol, none string) string {
	if p == lvs.ProtocolNone {
		return none
	}
	return strings.ToLower(p.String())
}

// prefixText leaves out the bits of a single address.
func prefixText(p netip.Prefix, none string) string {
	switch {
	case !p.IsValid():
		return none
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

func orAny(text string) string {
	if text == "" {
		return "any"
	}
	return text
}
