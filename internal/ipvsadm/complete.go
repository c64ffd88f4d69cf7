package ipvsadm

import (
	"net/netip"

	"drover/internal/lvs"
)

// complete checks a request as a whole and fills in its defaults.
func (p *parser) complete() error {
	if err := commandRules[p.command].check(p.options, "'"+p.command.String()+"' command"); err != nil {
		return err
	}
	switch p.command {
	case addService, editService:
		return p.completeService()
	case addServer, editServer:
		return p.completeServer()
	case list:
		return p.completeList()
	case startDaemon:
		if p.daemon.Interface == "" {
			p.daemon.Interface = defaultMcast
		}
	}
	return nil
}

func (p *parser) completeService() error {
	svc := &p.service
	if svc.Mark == 0 && svc.Addr.Port() == 0 && svc.Flags&lvs.Persistent == 0 {
		return refuse("Zero port specified for non-persistent service")
	}
	if svc.Mark == 0 && svc.Flags&lvs.OnePacket != 0 && svc.Protocol != lvs.UDP {
		return refuse("One-Packet Scheduling is only for UDP virtual services")
	}
	if svc.Scheduler == "" {
		svc.Scheduler = defaultScheduler
	}
	return nil
}

// completeServer also forces the service's port on a server that gets packets with the service's
// address: ip_vs does not rewrite their port.
func (p *parser) completeServer() error {
	dst := &p.destination
	if p.service.Mark == 0 && (dst.Forwarding == lvs.Tunnel || dst.Forwarding == lvs.DirectRoute) {
		dst.Addr = netip.AddrPortFrom(dst.Addr.Addr(), p.service.Addr.Port())
	}
	if lvs.FamilyOf(dst.Addr.Addr()) != p.family && dst.Forwarding != lvs.Tunnel {
		return refuse("Different address family is allowed only for tunneling servers")
	}
	if p.options.hasAny(tunnelOptions) && dst.Forwarding != lvs.Tunnel {
		return refuse("Tunnel options conflict with forward method")
	}
	place := "'" + tunnelTypeNames[dst.TunnelType] + "' tunnel type"
	return tunnelRules[dst.TunnelType].check(p.options&^setOf(optTunType)&tunnelOptions, place)
}

func (p *parser) completeList() error {
	counters := setOf(optStats, optRate, optThresholds)
	switch {
	case p.options.hasAny(setOf(optConnection, optTimeout, optDaemon)) && p.options.hasAny(counters),
		p.options.hasAny(setOf(optTimeout, optDaemon)) && p.options.has(optPersistentConn):
		return refuse("options conflicts in the list command")
	}
	return nil
}
