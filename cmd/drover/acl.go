package main

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"drover/internal/datapath"
	"drover/internal/lvs"
)

// newACLCommand is `drover acl`: who may reach the services.
func newACLCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "acl",
		Short: "Say which sources may reach the services, and how often they may connect",
		Long: `Say which sources may reach the services. XDP comes before netfilter, so the rules of iptables and nftables do
not hold for what it forwards; these do, for each packet of a client, also of connections that are open.

Of the rules that cover a source the longest prefix wins; of one prefix the rule that says most about the destination:
a port, then a VIP, then an interface. Without a rule a source is let in.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown command %q for acl", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newACLAdd(env), newACLDel(), newACLFlush(), newACLList(env), newACLLimit(env), newACLImport(env))
	return cmd
}

// accessFlags are what is said of a rule beside its action and source.
type accessFlags struct {
	service, in, reason string
	expires             time.Duration
	until               string
}

func (f *accessFlags) addTo(flags *pflag.FlagSet) {
	flags.StringVar(&f.service, "service", "", "tcp/VIP:PORT, udp/VIP:PORT, or VIP alone (default: all)")
	flags.StringVar(&f.in, "in", "", "interface that the packet comes in by")
	flags.StringVar(&f.reason, "reason", "", "why, for the list")
	flags.DurationVar(&f.expires, "expires", 0, "the rule runs out after this time")
	flags.StringVar(&f.until, "until", "", "the rule runs out then (RFC 3339)")
}

// rule reads "allow" or "deny", a source and the flags; its errors have the exit status of wrong usage.
func (f accessFlags) rule(action, source string, now time.Time) (lvs.AccessRule, error) {
	r := lvs.AccessRule{Deny: action == "deny", Interface: f.in, Reason: strings.Join(strings.Fields(f.reason), " ")}
	if !r.Deny && action != "allow" {
		return r, usageError("%q: want allow or deny", action)
	}
	var err error
	if r.Source, err = parsePrefix(source); err != nil || !r.Source.IsValid() {
		return r, usageError("source %q: want ADDRESS or ADDRESS/BITS", source)
	}
	if err := f.destination(&r); err != nil {
		return r, err
	}
	if len(r.Reason) > lvs.MaxReason || strings.ContainsAny(r.Reason, "\"\n\x00") {
		return r, usageError("--reason: want at most %d bytes, without quotation marks", lvs.MaxReason)
	}
	switch {
	case f.expires < 0 || f.expires > 0 && f.until != "":
		return r, usageError("--expires %v: want a time from now on, and no --until", f.expires)
	case f.expires > 0:
		r.Expires = now.Add(f.expires).Round(time.Second)
	case f.until != "":
		if r.Expires, err = time.Parse(time.RFC3339, f.until); err != nil {
			return r, usageError("--until %s: want a time such as %s", f.until, now.Format(time.RFC3339))
		}
	}
	return r, nil
}

func (f accessFlags) destination(r *lvs.AccessRule) error {
	if f.service == "" {
		return nil
	}
	if vip, err := netip.ParseAddr(f.service); err == nil && vip.Zone() == "" {
		r.VIP = vip.Unmap()
	} else {
		k, err := lvs.ParseServiceKey(f.service)
		if err != nil || k.Mark != 0 {
			return usageError("--service %s: want tcp/VIP:PORT, udp/VIP:PORT or VIP", f.service)
		}
		r.VIP, r.Protocol, r.Port = k.Addr.Addr(), k.Protocol, k.Addr.Port()
	}
	if r.VIP.Is4() != r.Source.Addr().Is4() {
		return usageError("--service %s: its family is not that of the source %s", f.service, r.Source)
	}
	return nil
}

func newACLAdd(env *environment) *cobra.Command {
	var f accessFlags
	file := ""
	cmd := &cobra.Command{
		Use:   "add allow|deny SOURCE",
		Short: "Add a rule, or with --file many at once",
		Long: `Add a rule, in the place of one for the same packets. With --file all rules of a file are added, or none: a
line each as the arguments of this command, empty ones and those that begin with # passed over; - is the standard input.`,
		Example: "  drover acl add deny 203.0.113.0/24 --reason scanner --expires 24h\n" +
			"  drover acl add allow 203.0.113.7 --service tcp/192.0.2.10:80",
		Args: func(_ *cobra.Command, args []string) error {
			if want := map[bool]int{false: 2, true: 0}[file != ""]; len(args) != want {
				return usageError("acl add: want allow or deny and a source, or --file alone")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) (err error) {
			var added []lvs.AccessRule
			if file != "" {
				added, err = readAccessFile(env, file)
			} else {
				added = make([]lvs.AccessRule, 1)
				added[0], err = f.rule(args[0], args[1], time.Now())
			}
			if err != nil {
				return err
			}
			return addAccess(env, added)
		},
	}
	f.addTo(cmd.Flags())
	cmd.Flags().StringVar(&file, "file", "", "read rules from this file")
	return cmd
}

func addAccess(env *environment, added []lvs.AccessRule) error {
	table, err := openOrLoad(env)
	if err != nil {
		return err
	}
	defer table.Close() //nolint:errcheck // the change is made
	rules, err := table.AccessRules()
	if err != nil {
		return err
	}
	return table.SetAccessRules(mergeAccess(rules, added))
}

// mergeAccess puts rules in the place of those for the same packets; of two that are added the last holds.
func mergeAccess(rules, added []lvs.AccessRule) []lvs.AccessRule {
	all := slices.Concat(rules, added)
	slices.SortStableFunc(all, lvs.CompareAccess)
	kept := all[:0]
	for i, r := range all {
		if i+1 == len(all) || !r.Same(all[i+1]) {
			kept = append(kept, r)
		}
	}
	return kept
}

func readAccessFile(env *environment, name string) ([]lvs.AccessRule, error) {
	text := env.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, &exitError{status: 2, err: err}
		}
		defer file.Close()
		text = file
	}
	return readAccess(name, text)
}

// readAccess reads the lines of a file. An error names the line.
func readAccess(name string, text io.Reader) ([]lvs.AccessRule, error) {
	var rules []lvs.AccessRule
	now := time.Now()
	lines := bufio.NewScanner(text)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		r, err := parseAccess(line, now)
		if err != nil {
			return nil, usageError("%s:%d: %v", name, number, err)
		}
		rules = append(rules, r)
	}
	return rules, lines.Err()
}

// parseAccess reads a line; a reason of several words stands between quotation marks.
func parseAccess(line string, now time.Time) (lvs.AccessRule, error) {
	var f accessFlags
	set := pflag.NewFlagSet("acl add", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	f.addTo(set)
	words, err := quotedWords(line)
	if err == nil {
		err = set.Parse(words)
	}
	if err != nil {
		return lvs.AccessRule{}, err
	}
	if set.NArg() != 2 {
		return lvs.AccessRule{}, fmt.Errorf("%q: want allow or deny and a source", line)
	}
	return f.rule(set.Arg(0), set.Arg(1), now)
}

// quotedWords splits at blanks that are not between quotation marks.
func quotedWords(line string) ([]string, error) {
	var words []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 0 {
			words = append(words, strings.Fields(part)...)
		} else {
			words = append(words, part)
		}
	}
	if strings.Count(line, `"`)%2 != 0 {
		return nil, fmt.Errorf("%q: a quotation mark is missing", line)
	}
	return words, nil
}

func newACLDel() *cobra.Command {
	return &cobra.Command{
		Use:   "del NUMBER|SOURCE",
		Short: "Delete a rule by its number in the list, or all of a source",
		Args:  exactArgs("NUMBER or SOURCE", 1),
		RunE: func(_ *cobra.Command, args []string) error {
			number, err := strconv.Atoi(args[0])
			source, errPrefix := parsePrefix(args[0])
			if err != nil && (errPrefix != nil || !source.IsValid()) {
				return usageError("acl del %s: want the number of a rule, ADDRESS or ADDRESS/BITS", args[0])
			}
			return withTable(true, func(table *datapath.Table) error {
				rules, err := table.AccessRules()
				if err != nil {
					return err
				}
				kept := slices.DeleteFunc(slices.Clone(rules), func(r lvs.AccessRule) bool { return r.Source == source })
				if !source.IsValid() && 1 <= number && number <= len(rules) {
					kept = slices.Delete(slices.Clone(rules), number-1, number)
				}
				if len(kept) == len(rules) {
					return fmt.Errorf("acl del %s: there is no such rule among %d", args[0], len(rules))
				}
				return table.SetAccessRules(kept)
			})
		},
	}
}

func newACLFlush() *cobra.Command {
	return &cobra.Command{
		Use:   "flush",
		Short: "Delete all rules, not the limit",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			return withTable(true, func(table *datapath.Table) error { return table.SetAccessRules(nil) })
		},
	}
}
