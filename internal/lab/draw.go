package lab

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Draw writes the lab as text: each network with what is plugged into it, then the processes.
func (s Status) Draw(w io.Writer) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "lab %q: mode %s, layout %s, MTU %d\n", s.Name, s.Mode, s.Layout, s.MTU)
	fmt.Fprintf(&text, "VIP %s\n", strings.Join(cells(s.VIPs), "  "))
	fmt.Fprintf(&text, "path: %s\n", s.Path)
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, n := range s.Networks {
		fmt.Fprint(table, "\t\t\t\t\n")
		fmt.Fprintf(table, "%s\t\t%s\t\n", n.Name, strings.Join(cells(n.Prefixes), "\t"))
		s.drawPorts(table, n)
	}
	fmt.Fprint(table, "\t\t\t\t\n")
	for _, p := range s.Processes {
		word := "running"
		if !p.Alive {
			word = "gone"
		}
		fmt.Fprintf(table, "%s\t%s\tpid %d\t%s\t\n", p.Node, s.Server, p.PID, word)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, node := range s.Missing {
		fmt.Fprintf(&text, "%s-%s: the namespace is missing\n", s.Name, node)
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// drawPorts draws the ports of a network as branches. VIP marks who answers ARP for the VIPs, "VIP
// on lo" who holds them silently.
func (s Status) drawPorts(w io.Writer, n Network) {
	ports := slices.DeleteFunc(slices.Clone(s.Ports), func(p Port) bool { return p.Network != n.Name })
	for i, p := range ports {
		branch := "├─"
		if i == len(ports)-1 {
			branch = "└─"
		}
		holds := ""
		switch {
		case p.Node == Director && p.Interface == "eth0":
			holds = "VIP"
		case s.Mode != NAT && slices.Contains(Servers, p.Node):
			holds = "VIP on lo"
		}
		var addrs []string
		for _, a := range p.Addrs {
			addrs = append(addrs, a.Addr().String())
		}
		fmt.Fprintf(w, "%s %s %s\t%v\t%s\t%s\n", branch, p.Node, p.Interface, p.MAC, strings.Join(addrs, "\t"), holds)
	}
}

func cells[T fmt.Stringer](values []T) []string {
	var all []string
	for _, v := range values {
		all = append(all, v.String())
	}
	return all
}
