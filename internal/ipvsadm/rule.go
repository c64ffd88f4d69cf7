package ipvsadm

import (
	"fmt"

	"drover/internal/lvs"
)

var protocolSwitches = map[lvs.Protocol]string{lvs.TCP: "-t", lvs.UDP: "-u", lvs.SCTP: "--sctp-service"}

// printServiceRule prints the commands that make a service and its destinations again.
func (s *session) printServiceRule(f format, svc *lvs.ServiceState) {
	s.printAddService(f, svc, schedulerFlagNames(&svc.Service))
	for _, dst := range sortedDestinations(f, svc) {
		s.print("%s\n", s.serverRule(f, svc, &dst))
	}
}

// serverRule gives the command that adds a server; as ipvsadm's without thresholds.
func (s *session) serverRule(f format, svc *lvs.ServiceState, dst *lvs.Destination) string {
	return fmt.Sprintf("-a %s -r %s %s -w %d%s", s.serviceSwitch(f, &svc.Service), s.endpoint(f, svc.Protocol, dst.Addr),
		forwardingSwitch(dst.Forwarding), dst.Weight, tunnelRule(dst))
}

func (s *session) printAddService(f format, svc *lvs.ServiceState, flags string) {
	s.print("-A %s -s %s", s.serviceSwitch(f, &svc.Service), svc.Scheduler)
	if svc.Flags&lvs.Persistent != 0 {
		s.print(" -p %d", seconds(svc.Timeout))
		if mask := granularity(&svc.Service); mask != "" {
			s.print(" -M %s", mask)
		}
	}
	if svc.PE != "" {
		s.print(" --pe %s", svc.PE)
	}
	if svc.Flags&lvs.OnePacket != 0 {
		s.print(" -o")
	}
	// sh and mh have no name for the third flag, for which ipvsadm prints a -b without argument.
	if flags != "" {
		s.print(" -b %s", flags)
	}
	s.print("\n")
}

// serviceSwitch gives "-t 192.0.2.1:80" or "-f 1 -6". A mark over 2^31 is printed as it is, where
// ipvsadm prints a negative number that it cannot restore.
func (s *session) serviceSwitch(f format, svc *lvs.Service) string {
	switch {
	case svc.Mark != 0 && svc.Family == lvs.IPv6:
		return fmt.Sprintf("-f %d -6", svc.Mark)
	case svc.Mark != 0:
		return fmt.Sprintf("-f %d", svc.Mark)
	}
	return protocolSwitches[svc.Protocol] + " " + s.endpoint(f, svc.Protocol, svc.Addr)
}

func forwardingSwitch(f lvs.Forwarding) string {
	switch f {
	case lvs.Masquerade:
		return "-m"
	case lvs.Tunnel:
		return "-i"
	}
	return "-g"
}
