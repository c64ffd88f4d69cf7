package ipvsadm

import (
	"fmt"
	"strings"

	"drover/internal/lvs"
)

// printService prints a service and its destinations.
func (s *session) printService(f format, svc *lvs.ServiceState) {
	if f.layout == rulesLayout {
		s.printServiceRule(f, svc)
		return
	}
	name := s.serviceName(f, &svc.Service)
	switch f.layout {
	case statsLayout:
		s.print("%-33s%s\n", name, totals(&svc.Stats, f.exact))
	case rateLayout:
		r := svc.Stats.Rate
		s.print("%-33s%s\n", name, largeNumbers(f.exact, r.CPS, r.InPPS, r.OutPPS, r.InBPS, r.OutBPS))
	default:
		s.print("%s %s%s\n", name, svc.Scheduler, serviceProperties(&svc.Service))
	}
	for _, dst := range sortedDestinations(f, svc) {
		s.printDestination(f, svc.Protocol, &dst)
	}
}

// serviceName gives "TCP  192.0.2.1:80" or "FWM  1 IPv6". ipvsadm prints marks as signed numbers.
func (s *session) serviceName(f format, svc *lvs.Service) string {
	switch {
	case svc.Mark != 0 && svc.Family == lvs.IPv6:
		return fmt.Sprintf("FWM  %d IPv6", int32(svc.Mark))
	case svc.Mark != 0:
		return fmt.Sprintf("FWM  %d", int32(svc.Mark))
	}
	name := fmt.Sprintf("%-4s %s", svc.Protocol, s.endpoint(f, svc.Protocol, svc.Addr))
	if svc.Family == lvs.IPv6 {
		return name
	}
	return cut(name, serviceWidth)
}

// serviceProperties gives what follows the scheduler's name in a listing.
func serviceProperties(svc *lvs.Service) string {
	var b strings.Builder
	if svc.Flags&anySchedulerFlag != 0 {
		fmt.Fprintf(&b, " (%s)", schedulerFlagNames(svc))
	}
	if svc.Flags&lvs.Persistent != 0 {
		fmt.Fprintf(&b, " persistent %d", seconds(svc.Timeout))
		if mask := granularity(svc); mask != "" {
			b.WriteString(" mask " + mask)
		}
		if svc.PE != "" {
			b.WriteString(" pe " + svc.PE)
		}
	}
	if svc.Flags&lvs.OnePacket != 0 {
		b.WriteString(" ops")
	}
	return b.String()
}

// granularity gives the persistence mask, or nothing where each client stands for itself.
func granularity(svc *lvs.Service) string {
	switch {
	case svc.Family == lvs.IPv6 && svc.PrefixLen != 0 && svc.PrefixLen != 128:
		return fmt.Sprint(svc.PrefixLen)
	case svc.Family == lvs.IPv6 || !svc.Netmask.IsValid() || svc.Netmask.String() == "255.255.255.255":
		return ""
	}
	return svc.Netmask.String()
}

func (s *session) printDestination(f format, protocol lvs.Protocol, dst *lvs.Destination) {
	name := s.endpoint(f, protocol, dst.Addr)
	if dst.Addr.Addr().Is4() {
		name = cut(name, destinationWidth)
	}
	s.print("  -> %-28s", name)
	switch f.layout {
	case statsLayout:
		s.print("%s\n", totals(&dst.Stats, f.exact))
		return
	case rateLayout:
		r := dst.Stats.Rate
		s.print(" %8d %8d %8d%s\n", r.CPS, r.InPPS, r.OutPPS, largeNumbers(f.exact, r.InBPS, r.OutBPS))
		return
	case thresholdsLayout:
		s.print(" %-10d %-10d", dst.Upper, dst.Lower)
	case persistentLayout:
		s.print(" %-9d %-11d", dst.Weight, dst.PersistConns)
	case tunnelLayout:
		s.print(" %-7s %-13s %-6d", dst.Forwarding, tunnelInfo(dst), dst.Weight)
	default:
		s.print(" %-7s %-6d", dst.Forwarding, dst.Weight)
	}
	s.print(" %-10d %-10d\n", dst.ActiveConns, dst.InactConns)
}

func totals(st *lvs.Stats, exact bool) string {
	return largeNumbers(exact, st.Conns, st.InPkts, st.OutPkts, st.InBytes, st.OutBytes)
}

func largeNumbers(exact bool, numbers ...uint64) string {
	var b strings.Builder
	for _, n := range numbers {
		b.WriteString(largeNumber(n, exact))
	}
	return b.String()
}
