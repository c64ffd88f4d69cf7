package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/datapath"
	"drover/internal/lvs"
)

// accessJSON is what `drover acl list --json` prints.
type accessJSON struct {
	Rules []accessRuleJSON `json:"rules"`
	Limit *limitJSON       `json:"limit,omitempty"`
}

type accessRuleJSON struct {
	Number    int    `json:"number"`
	Action    string `json:"action"` // allow | deny
	Source    string `json:"source"`
	Service   string `json:"service,omitempty"`
	Interface string `json:"interface,omitempty"`
	Packets   uint64 `json:"packets"`
	Expires   string `json:"expires,omitempty"` // RFC 3339
	Reason    string `json:"reason,omitempty"`
}

type limitJSON struct {
	Rate  uint32 `json:"rate"` // connections a second and source
	Burst uint32 `json:"burst"`
}

func newACLList(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the rules, how many packets each judged, and the limit",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			return withTable(false, func(table *datapath.Table) error {
				rules, err := table.AccessRules()
				if err != nil {
					return err
				}
				limit, err := table.AccessLimit()
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(env.stdout, accessToJSON(rules, limit))
				}
				return printAccess(newPrinter(env), rules, limit, time.Now())
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func accessToJSON(rules []lvs.AccessRule, limit lvs.AccessLimit) accessJSON {
	all := accessJSON{Rules: []accessRuleJSON{}}
	for i, r := range rules {
		row := accessRuleJSON{
			Number: i + 1, Action: actionText(r), Source: prefixText(r.Source, ""), Service: destinationText(r),
			Interface: r.Interface, Packets: r.Hits, Reason: r.Reason,
		}
		if !r.Expires.IsZero() {
			row.Expires = r.Expires.Format(time.RFC3339)
		}
		all.Rules = append(all.Rules, row)
	}
	if limit.Rate > 0 {
		all.Limit = &limitJSON{limit.Rate, limit.Burst}
	}
	return all
}

func printAccess(out *printer, rules []lvs.AccessRule, limit lvs.AccessLimit, now time.Time) error {
	rows := [][]cell{headings(">", "action", "source", "service", "interface", ">packets", "expires in", "reason")}
	for i, r := range rules {
		color, expires := green, "never"
		if r.Deny {
			color = red
		}
		if !r.Expires.IsZero() {
			expires = r.Expires.Sub(now).Round(time.Second).String()
		}
		rows = append(rows, []cell{
			{text: strconv.Itoa(i + 1), right: true},
			{text: actionText(r), style: color},
			{text: prefixText(r.Source, "")},
			{text: orAny(destinationText(r))},
			{text: orAny(r.Interface)},
			{text: countText(r.Hits), right: true},
			{text: expires},
			{text: r.Reason},
		})
	}
	if err := out.table(rows); err != nil || limit.Rate == 0 {
		return err
	}
	return out.printf("\n  Each source may begin %s connections a second, %s at once.\n",
		countText(uint64(limit.Rate)), countText(uint64(limit.Burst)))
}

func actionText(r lvs.AccessRule) string {
	if r.Deny {
		return "deny"
	}
	return "allow"
}

// destinationText gives what --service takes.
func destinationText(r lvs.AccessRule) string {
	switch {
	case r.Protocol != lvs.ProtocolNone:
		return protocolText(r.Protocol, "") + "/" + netip.AddrPortFrom(r.VIP, r.Port).String()
	case r.VIP.IsValid():
		return r.VIP.String()
	}
	return ""
}

// newACLLimit sets how many connections a source may begin.
func newACLLimit(env *environment) *cobra.Command {
	rate, burst := "", uint32(0)
	cmd := &cobra.Command{
		Use:   "limit --rate N/s [--burst B]",
		Short: "Limit the connections that each source may begin; --rate off ends it",
		Long: `Limit the connections that each source may begin. A source is an IPv4 address or an IPv6 network of 64 bits; the
65,536 that were seen last are told apart. What is over the limit is dropped, and counted as "limit" in
drover datapath status.`,
		Example: "  drover acl limit --rate 50/s --burst 200",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			limit, err := parseLimit(rate, burst)
			if err != nil {
				return err
			}
			table, err := openOrLoad(env)
			if err != nil {
				return err
			}
			defer table.Close() //nolint:errcheck // the change is made
			return table.SetAccessLimit(limit)
		},
	}
	cmd.Flags().StringVar(&rate, "rate", "", "N/s, or off")
	cmd.Flags().Uint32Var(&burst, "burst", 0, "at once (default: as many as in a second)")
	return cmd
}

func parseLimit(rate string, burst uint32) (lvs.AccessLimit, error) {
	if rate == "off" {
		return lvs.AccessLimit{}, nil
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(rate, "/s"), 10, 32)
	if err != nil || n == 0 || n > 1_000_000 || burst > 1_000_000 {
		return lvs.AccessLimit{}, usageError("--rate %q --burst %d: want N/s and B up to 1,000,000, or --rate off", rate, burst)
	}
	limit := lvs.AccessLimit{Rate: uint32(n), Burst: burst}
	if burst == 0 {
		limit.Burst = limit.Rate
	}
	return limit, nil
}

// accessWords are the arguments that make a rule again.
func accessWords(r lvs.AccessRule) []string {
	words := []string{actionText(r), prefixText(r.Source, "")}
	if service := destinationText(r); service != "" {
		words = append(words, "--service", service)
	}
	if r.Interface != "" {
		words = append(words, "--in", r.Interface)
	}
	if !r.Expires.IsZero() {
		words = append(words, "--until", r.Expires.UTC().Format(time.RFC3339))
	}
	if r.Reason != "" {
		words = append(words, "--reason", `"`+r.Reason+`"`)
	}
	return words
}

// savedAccess are the access rules and the limit.
type savedAccess struct{}

func (savedAccess) word() string  { return "acl" }
func (savedAccess) title() string { return "Access rules, and the limit on new connections" }

func (savedAccess) lines(t savedTable) ([]string, error) {
	rules, err := t.AccessRules()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, r := range rules {
		lines = append(lines, "add "+strings.Join(accessWords(r), " "))
	}
	limit, err := t.AccessLimit()
	if limit.Rate > 0 {
		lines = append(lines, fmt.Sprintf("limit --rate %d/s --burst %d", limit.Rate, limit.Burst))
	}
	return lines, err
}

func (savedAccess) forget(r *restoration) error {
	r.after = append(r.after,
		func() error { return r.table.SetAccessRules(mergeAccess(nil, r.access)) }, func() error { return r.table.SetAccessLimit(r.limit) })
	return nil
}

func (savedAccess) read(words []string) (func(*restoration) error, error) {
	line := strings.Join(words, " ")
	if rest, ok := strings.CutPrefix(line, "add "); ok {
		rule, err := parseAccess(rest, time.Now())
		return func(r *restoration) error {
			r.access = append(r.access, rule)
			return nil
		}, err
	}
	var rate string
	var burst uint32
	if _, err := fmt.Sscanf(line, "limit --rate %s --burst %d", &rate, &burst); err != nil {
		return nil, fmt.Errorf("expected acl add ... or acl limit --rate N/s --burst B")
	}
	limit, err := parseLimit(rate, burst)
	return func(r *restoration) error { r.limit = limit; return nil }, err
}
