package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/realserver"
)

// newRealserverCommand is `drover realserver`: the server's side of direct routing and tunnelling, in this
// network namespace.
func newRealserverCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "realserver",
		Short: "Make this machine a real server: VIP, ARP, tunnels",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown command %q for realserver", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRealserverUp(env), newRealserverDown(env), newRealserverStatus(env))
	return cmd
}

// realserverOptions are the flags of `drover realserver up` as they are written.
type realserverOptions struct {
	vips, sources, ports, interfaces []string
	tunnel, clamp                    string
}

// config reads the flags. Its errors have the exit status of wrong usage.
func (o realserverOptions) config() (realserver.Config, error) {
	cfg := realserver.Config{Tunnel: realserver.Tunnel(o.tunnel), Interfaces: o.interfaces}
	var err error
	if cfg.VIPs, err = addresses("--vip", o.vips); err != nil {
		return cfg, err
	}
	if len(cfg.VIPs) == 0 {
		return cfg, usageError("realserver up: want at least one --vip ADDRESS")
	}
	if cfg.Sources, err = addresses("--source", o.sources); err != nil {
		return cfg, err
	}
	for _, text := range o.ports {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return cfg, usageError("--tunnel-port %s: want 1 to 65535", text)
		}
		cfg.Ports = append(cfg.Ports, uint16(port))
	}
	switch o.clamp {
	case "":
	case "auto":
		cfg.ClampMSS = true
	default:
		cfg.ClampMSS = true
		if cfg.MSS, err = strconv.Atoi(o.clamp); err != nil || cfg.MSS == 0 {
			return cfg, usageError("--clamp-mss %s: want a number of bytes", o.clamp)
		}
	}
	return cfg, nil
}

func addresses(flag string, texts []string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, usageError("%s %s: want an IPv4 or IPv6 address", flag, text)
		}
		all = append(all, a)
	}
	return all, nil
}

func newRealserverUp(env *environment) *cobra.Command {
	var options realserverOptions
	cmd := &cobra.Command{
		Use:   "up --vip ADDRESS ...",
		Short: "Hold VIPs silently, and take packets for them out of tunnels",
		Long: `Hold VIPs on the loopback interface, keep ARP from answering for them, and take the packets that a director
sends in tunnels out of them. Said again, it changes only what is different; what is no longer named goes.

Tunnels:
  none    direct routing, which has none (default)
  xdp     Drover's own program: IPIP, GRE, and GUE on each --tunnel-port; needs no kernel module
  kernel  the kernel's devices, where it has them: ipip, sit, ip6tnl, gre, ip6gre, fou

--clamp-mss lowers the segment size that this server's SYN-ACKs name, so that what clients send fits into the
tunnel: to what the interface's MTU leaves, or to --clamp-mss=BYTES.`,
		Args: realserverUpArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := options.config()
			if err != nil {
				return err
			}
			if err := cfg.Check(); err != nil {
				return realserverError(err)
			}
			if cfg.Record, err = realserver.DefaultRecord(); err != nil {
				return err
			}
			warnings, err := realserver.Up(cfg)
			for _, warning := range warnings {
				fmt.Fprintf(env.stderr, "drover: warning: %s\n", warning)
			}
			if err != nil {
				realserver.ForgetFolder()
				return realserverError(err)
			}
			return newPrinter(env).printf("This is a real server of %s.\n", joined(cfg.VIPs))
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&options.vips, "vip", nil, "`ADDRESS` that clients ask; may be repeated")
	flags.StringVar(&options.tunnel, "tunnel", "none", "what takes packets out of tunnels: none, xdp or kernel")
	flags.StringSliceVar(&options.ports, "tunnel-port", nil, "UDP `PORT` on which GUE arrives; may be repeated")
	flags.StringSliceVar(&options.sources, "source", nil, "`ADDRESS` of a director whose tunnels are taken (default any; xdp only); may be repeated")
	flags.StringSliceVarP(&options.interfaces, "interface", "i", nil, "`INTERFACE` of tunnels and clients (default as of datapath load); may be repeated")
	flags.StringVar(&options.clamp, "clamp-mss", "", "lower the segment size of SYN-ACKs, to what fits or to =`BYTES`")
	flags.Lookup("clamp-mss").NoOptDefVal = "auto"
	return cmd
}

// realserverUpArgs: up takes none. The size to clamp to looks like one where its equals sign is missing.
func realserverUpArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && cmd.Flags().Changed("clamp-mss") {
		if _, err := strconv.Atoi(args[0]); err == nil {
			return usageError("--clamp-mss %s: want an equals sign: --clamp-mss=%s", args[0], args[0])
		}
	}
	return noArgs(cmd, args)
}

// realserverError gives wrong input its exit status.
func realserverError(err error) error {
	if errors.Is(err, realserver.ErrConfig) {
		return &exitError{status: 2, err: err}
	}
	return err
}

func joined[T fmt.Stringer](all []T) string {
	var texts []string
	for _, v := range all {
		texts = append(texts, v.String())
	}
	return strings.Join(texts, ", ")
}

func newRealserverDown(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Take back all that up did",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			record, err := realserver.DefaultRecord()
			if err != nil {
				return err
			}
			defer realserver.ForgetFolder()
			if err := realserver.Down(realserver.Config{Record: record}); err != nil {
				return err
			}
			return newPrinter(env).printf("This is no real server any more.\n")
		},
	}
}

func newRealserverStatus(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show VIPs, tunnels and counters",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			record, err := realserver.DefaultRecord()
			if err != nil {
				return err
			}
			defer realserver.ForgetFolder()
			status, err := realserver.ReadStatus(record)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(env.stdout, status)
			}
			return printRealserver(newPrinter(env), status)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printRealserver writes a status in sections: what is set up, and what became of the packets.
func printRealserver(p *printer, s *realserver.Status) error {
	rows := [][]cell{
		{{text: "VIPs on lo"}, {text: orNone(joined(s.VIPs))}},
		{{text: "tunnel"}, {text: string(s.Tunnel)}},
	}
	if s.Tunnel != realserver.None {
		ports := strings.Trim(fmt.Sprint(s.Ports), "[]")
		rows = append(rows, []cell{{text: "ports of GUE"}, {text: orNone(ports)}})
	}
	if len(s.Devices) > 0 {
		rows = append(rows, []cell{{text: "devices"}, {text: strings.Join(s.Devices, ", ")}})
	}
	if len(s.Interfaces) > 0 {
		rows = append(rows, []cell{{text: "attached to"}, {text: interfaceNames(s.Interfaces)}})
	}
	if s.MSS4 > 0 || s.MSS6 > 0 {
		text := fmt.Sprintf("at most %d (IPv4), %d (IPv6); %s lowered", s.MSS4, s.MSS6, countText(s.Clamped))
		rows = append(rows, []cell{{text: "segment sizes"}, {text: text}})
	}
	if err := p.printf("%s\n", p.in(bold, "Real server")); err != nil {
		return err
	}
	if err := p.table(rows); err != nil || len(s.Counters) == 0 {
		return err
	}
	if err := p.printf("\n%s\n", p.in(bold, "Packets")); err != nil {
		return err
	}
	counters := [][]cell{header("verdict", "counter", "#packets", "meaning")}
	for _, c := range s.Counters {
		value := number(c.Value)
		switch {
		case c.Value == 0:
			value.style = faint
		case c.Verdict == "drop":
			value.style = red
		}
		counters = append(counters, []cell{{text: c.Verdict}, {text: c.Name}, value, {text: c.Help, style: faint}})
	}
	return p.table(counters)
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
