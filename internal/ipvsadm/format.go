package ipvsadm

import (
	"fmt"
	"net/netip"
	"strconv"

	"drover/internal/lvs"
)

// A layout is the kind of a listing's lines.
type layout int

const (
	plainLayout layout = iota
	rulesLayout
	statsLayout
	rateLayout
	thresholdsLayout
	persistentLayout
	tunnelLayout
)

// A format says how a listing looks.
type format struct {
	layout  layout
	numeric bool // addresses and ports are not turned into names
	sorted  bool
	exact   bool // counters are not shortened
}

// formatOf chooses the layout. Of several that are asked for the first here wins.
func formatOf(r *request) format {
	f := format{
		numeric: r.options.has(optNumeric),
		sorted:  !r.options.has(optNoSort),
		exact:   r.options.has(optExact),
	}
	switch {
	case r.command == save:
		f.layout = rulesLayout
	case r.options.has(optStats):
		f.layout = statsLayout
	case r.options.has(optRate):
		f.layout = rateLayout
	case r.options.has(optThresholds):
		f.layout = thresholdsLayout
	case r.options.has(optPersistentConn):
		f.layout = persistentLayout
	case r.options.has(optTunInfo):
		f.layout = tunnelLayout
	}
	return f
}

// title gives the lines above the services.
func (f format) title() string {
	const local, remote = "Prot LocalAddress:Port", "  -> RemoteAddress:Port"
	columns := func(layout string, names ...any) string {
		return fmt.Sprintf("%-33s", local) + fmt.Sprintf(layout, names...) + "\n" + remote + "\n"
	}
	const counters = " %8s %8s %8s %8s %8s"
	switch f.layout {
	case rulesLayout:
		return ""
	case statsLayout:
		return columns(counters, "Conns", "InPkts", "OutPkts", "InBytes", "OutBytes")
	case rateLayout:
		return columns(counters, "CPS", "InPPS", "OutPPS", "InBPS", "OutBPS")
	case thresholdsLayout:
		return columns(" %-10s %-10s %-10s %-10s", "Uthreshold", "Lthreshold", "ActiveConn", "InActConn")
	case persistentLayout:
		return columns(" %-9s %-11s %-10s %-10s", "Weight", "PersistConn", "ActiveConn", "InActConn")
	case tunnelLayout:
		return local + " Scheduler Flags\n" + remote + "           Forward TunnelInfo    Weight ActiveConn InActConn\n"
	}
	return local + " Scheduler Flags\n" + remote + "           Forward Weight ActiveConn InActConn\n"
}

// The widths at which ipvsadm cuts names. IPv6 names are cut at the last only.
const (
	serviceWidth     = 33
	destinationWidth = 28
	endpointWidth    = 59
)

// endpoint prints an address and a port, by their names unless the format is numeric.
func (s *session) endpoint(f format, protocol lvs.Protocol, a netip.AddrPort) string {
	host, port := a.Addr().String(), strconv.Itoa(int(a.Port()))
	if !f.numeric {
		if name, ok := s.env.Hosts.Name(a.Addr()); ok {
			host = name
		}
		if name, ok := s.env.Ports.Name(a.Port(), protocol); ok {
			port = name
		}
	}
	if !a.Addr().Is4() {
		host = "[" + host + "]"
	}
	return cut(host+":"+port, endpointWidth)
}

func cut(s string, width int) string { return s[:min(len(s), width)] }
