package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/spf13/cobra"

	"drover/internal/datapath"
	"drover/internal/lvs"
)

// newExplainCommand is `drover explain`: what becomes of one packet, and why.
func newExplainCommand(env *environment) *cobra.Command {
	var q datapath.Question
	asJSON := false
	cmd := &cobra.Command{
		Use:   "explain tcp|udp SOURCE:PORT DESTINATION:PORT",
		Short: "Say what becomes of a packet, and why",
		Long: `Say what becomes of a packet, and why. The data path's own programs are run on a copy of its state, so that
nothing changes: no connection begins, and nothing is counted.`,
		Example: "  drover explain tcp 203.0.113.7:40000 192.0.2.10:80\n  drover explain tcp 203.0.113.7:40000 192.0.2.10:80 --flags A",
		Args:    exactArgs("tcp|udp SOURCE:PORT DESTINATION:PORT", 3),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := readQuestion(&q, args); err != nil {
				return err
			}
			var e *datapath.Explanation
			err := withTable(false, func(table *datapath.Table) (err error) {
				e, err = table.Explain(q)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(env.stdout, explanationJSON(e))
			}
			return printExplanation(newPrinter(env), q, e)
		},
	}
	cmd.Flags().StringVar(&q.Interface, "in", "", "interface that it comes in by (default: where the way back leads)")
	cmd.Flags().StringVar(&q.Flags, "flags", "", "of TCP: S, F, R and A (default: S)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func readQuestion(q *datapath.Question, args []string) (err error) {
	protocol, ok := map[string]lvs.Protocol{"tcp": lvs.TCP, "udp": lvs.UDP}[args[0]]
	if q.Protocol = protocol; !ok {
		return usageError("explain %s: want tcp or udp", args[0])
	}
	for i, to := range []*netip.AddrPort{&q.From, &q.To} {
		if *to, err = netip.ParseAddrPort(args[1+i]); err != nil {
			return usageError("explain: %q: want ADDRESS:PORT, of IPv6 [ADDRESS]:PORT", args[1+i])
		}
	}
	for _, letter := range q.Flags {
		if letter != 'S' && letter != 'F' && letter != 'R' && letter != 'A' {
			return usageError("--flags %s: want S, F, R and A", q.Flags)
		}
	}
	return nil
}

// advice says what to do where an outcome calls for something, by the counter's verdict and name.
var advice = map[string]string{
	"pass not_ours":      "ipvsadm -Ln lists the services; a VIP, a port or a protocol may be another than you think",
	"pass no_connection": "the connection is over or was never here: the host answers with a reset",
	"pass other_host":    "the frame's MAC is another machine's: look at who answers ARP for the VIP",
	"pass standby":       "drover datapath vip VIP active, if this director has the VIP",
	"answer unreachable": "give a server a weight, add one, or look at the thresholds: ipvsadm -Ln --thresholds",
	"drop server_gone":   "add the server again, or set the tune expire_nodest_conn to 1",
	"drop no_route":      "ip route get SERVER, on the director",
	"drop no_neighbour":  "the next hop does not answer ARP: is the server up, and on this segment?",
	"drop table_full":    "drover datapath load --connections N takes a larger table; drover tune has defences",
	"drop limit":         "drover acl limit has the rate",
	"drop loopback":      "use -g for a server on a loopback address",
	"drop no_source":     "the director needs an address and a route towards the server",
}

func printExplanation(out *printer, q datapath.Question, e *datapath.Explanation) error {
	rows := [][]cell{{{text: "packet"}, {text: fmt.Sprintf("%s %s > %s, by %s", q.Protocol, q.From, q.To, e.Interface)}}}
	row := func(name, text string) { rows = append(rows, []cell{{text: name}, {text: text}}) }
	switch {
	case e.Known != nil:
		row("connection", fmt.Sprintf("known, %s, to %s", lvs.StateName(e.Known.Protocol, e.Known.State), e.Known.Destination))
	case e.Begun != nil:
		row("connection", fmt.Sprintf("none: it begins one, to %s", e.Begun.Destination))
	default:
		row("connection", "none")
	}
	for _, r := range e.Marks {
		row("mark rule", strings.Join(markWords(r), " "))
	}
	if e.Mark != 0 {
		row("mark", strconv.FormatUint(uint64(e.Mark), 10))
	}
	if r := e.Access; r != nil {
		row("access rule", strings.Join(accessWords(*r), " "))
	}
	if e.Service != nil {
		row("service", fmt.Sprintf("%s, %s", e.Service.Text(), e.Service.Scheduler))
	} else {
		row("service", "none")
	}
	color := map[string]style{"drop": red, "answer": yellow, "forward": green}[e.Outcome.Verdict]
	rows = append(rows, []cell{{text: "outcome"}, {text: e.Outcome.Verdict + " " + e.Outcome.Name, style: color}})
	row("", e.Outcome.Help)
	if text := advice[e.Outcome.Verdict+" "+e.Outcome.Name]; text != "" {
		row("", text)
	}
	if len(e.Frame) > 0 {
		row("leaves by", e.Device)
		row("as", frameText(e.Frame))
	}
	if err := out.table(rows); err != nil || len(e.Choices) == 0 {
		return err
	}
	return printChoices(out, e)
}

func printChoices(out *printer, e *datapath.Explanation) error {
	if err := out.printf("\n"); err != nil {
		return err
	}
	rows := [][]cell{headings("server", "forward", ">weight", ">active", ">inactive", "")}
	for _, c := range e.Choices {
		color := plain
		if c.Addr == e.Chosen {
			color = green
		}
		rows = append(rows, []cell{
			{text: c.Addr.String(), style: color},
			{text: c.Forwarding.String()},
			{text: strconv.Itoa(int(c.Weight)), right: true},
			{text: countText(uint64(c.ActiveConns)), right: true},
			{text: countText(uint64(c.InactConns)), right: true},
			{text: c.Why},
		})
	}
	return out.table(rows)
}

// frameText gives the addresses in a frame, layer by layer: of a tunnel's the outer ones, then the inner.
func frameText(frame []byte) string {
	var words []string
	for _, layer := range gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy).Layers() {
		switch l := layer.(type) {
		case *layers.Ethernet:
			words = append(words, fmt.Sprintf("%s > %s", l.SrcMAC, l.DstMAC))
		case *layers.IPv4:
			words = append(words, fmt.Sprintf("%s > %s TTL %d", l.SrcIP, l.DstIP, l.TTL))
		case *layers.IPv6:
			words = append(words, fmt.Sprintf("%s > %s hop limit %d", l.SrcIP, l.DstIP, l.HopLimit))
		case *layers.TCP:
			words = append(words, fmt.Sprintf("TCP %d > %d", l.SrcPort, l.DstPort))
		case *layers.UDP:
			words = append(words, fmt.Sprintf("UDP %d > %d", l.SrcPort, l.DstPort))
		case *layers.GRE:
			words = append(words, "GRE")
		case *layers.ICMPv4:
			words = append(words, "ICMP "+l.TypeCode.String())
		case *layers.ICMPv6:
			words = append(words, "ICMPv6 "+l.TypeCode.String())
		}
	}
	return strings.Join(words, ", ")
}

// explanationRow is what --json prints.
type explanationRow struct {
	Interface string         `json:"interface"`
	Verdict   string         `json:"verdict"`
	Outcome   string         `json:"outcome"`
	Help      string         `json:"help"`
	Mark      uint32         `json:"mark,omitempty"`
	MarkRules []string       `json:"mark_rules,omitempty"`
	Access    string         `json:"access_rule,omitempty"`
	Known     bool           `json:"known"`
	Service   string         `json:"service,omitempty"`
	Scheduler string         `json:"scheduler,omitempty"`
	Server    string         `json:"server,omitempty"`
	Device    string         `json:"device,omitempty"`
	Frame     []byte         `json:"frame,omitempty"`
	Choices   []choiceOfJSON `json:"choices,omitempty"`
}

type choiceOfJSON struct {
	Server string `json:"server"`
	Weight int32  `json:"weight"`
	Why    string `json:"why"`
}

func explanationJSON(e *datapath.Explanation) explanationRow {
	row := explanationRow{
		Interface: e.Interface, Verdict: e.Outcome.Verdict, Outcome: e.Outcome.Name, Help: e.Outcome.Help, Mark: e.Mark,
		Known: e.Known != nil, Device: e.Device, Frame: e.Frame,
	}
	if e.Service != nil {
		row.Service, row.Scheduler = e.Service.Text(), e.Service.Scheduler
	}
	for _, r := range e.Marks {
		row.MarkRules = append(row.MarkRules, strings.Join(markWords(r), " "))
	}
	if e.Access != nil {
		row.Access = strings.Join(accessWords(*e.Access), " ")
	}
	if e.Chosen.IsValid() {
		row.Server = e.Chosen.String()
	}
	for _, c := range e.Choices {
		row.Choices = append(row.Choices, choiceOfJSON{c.Addr.String(), c.Weight, c.Why})
	}
	return row
}
