package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"drover/internal/lvs"
)

// finish settles what depends on the whole file: what is inherited, what is checked against each other.
func (b *builder) finish() {
	seen := map[lvs.ServiceKey]Position{}
	for _, v := range b.servers {
		if !v.broken && b.finishVirtual(v, seen) {
			b.config.VirtualServers = append(b.config.VirtualServers, v.VirtualServer)
		} else if v.broken {
			b.warn(v.At, "virtual_server", "%s is not loaded", v.title())
		}
	}
	b.finishVRRP()
}

// title names a virtual server as it was written.
func (v *virtualBuild) title() string {
	switch {
	case v.Group != "":
		return "group " + v.Group
	case v.key.Mark != 0:
		return fmt.Sprintf("fwmark %d", v.key.Mark)
	}
	return v.key.Addr.String()
}

func (b *builder) finishVirtual(v *virtualBuild, seen map[lvs.ServiceKey]Position) bool {
	if v.Group != "" && b.groups[v.Group] == nil {
		b.warn(v.At, "virtual_server", "there is no virtual_server_group %s: it is ignored", v.Group)
		return false
	}
	if len(v.reals) == 0 {
		b.warn(v.At, "virtual_server", "%s has no real servers: it is ignored", v.title())
		return false
	}
	b.protocol(v)
	if v.Template.Scheduler == "" {
		b.warn(v.At, "virtual_server", "%s: no lvs_sched: it is wlc", v.title())
		v.Template.Scheduler = "wlc"
	}
	if v.method == nil {
		b.warn(v.At, "virtual_server", "%s: no lvs_method: it is NAT", v.title())
		v.method = &method{}
	}
	if !b.services(v, seen) {
		return false
	}
	v.Name = v.name()
	v.Alpha = *orElse(v.settings.alpha, ptr(false))
	v.SMTPAlert = *orElse(v.smtpAlert, orElse(b.config.Global.SMTPAlertChecker, orElse(b.config.Global.SMTPAlert, ptr(false))))
	b.reals(v)
	b.sorry(v)
	b.quorum(v)
	return len(v.RealServers) > 0
}

// protocol settles what a firewall mark has none of, and others must have.
func (b *builder) protocol(v *virtualBuild) {
	mark, some := v.key.Mark != 0, v.key.Mark != 0
	if v.Group != "" {
		mark = true
		for _, k := range b.groups[v.Group].keys {
			mark, some = mark && k.Mark != 0, some || k.Mark != 0
		}
	}
	if mark && v.protocol != 0 {
		b.warn(v.At, "protocol", "%s: a firewall mark has no protocol: it is ignored", v.title())
		v.protocol = 0
	}
	if some && v.HASuspend {
		b.warn(v.At, "ha_suspend", "%s: a firewall mark has no address to look for: it is ignored", v.title())
		v.HASuspend = false
	}
	if !mark && v.protocol == 0 {
		b.warn(v.At, "virtual_server", "%s: no protocol: it is UDP, as keepalived has it", v.title())
		v.protocol = lvs.UDP
	}
	if !mark && v.protocol != lvs.UDP && v.Template.Flags&lvs.OnePacket != 0 {
		b.warn(v.At, "ops", "%s: one-packet scheduling is for UDP: it is ignored", v.title())
		v.Template.Flags &^= lvs.OnePacket
	}
}

// services settles which services a virtual server has.
func (b *builder) services(v *virtualBuild, seen map[lvs.ServiceKey]Position) bool {
	keys := []lvs.ServiceKey{v.key}
	if v.Group != "" {
		keys = slices.Clone(b.groups[v.Group].keys)
	}
	for i := range keys {
		k := &keys[i]
		if k.Mark == 0 {
			k.Protocol = v.protocol
			if k.Addr.Port() == 0 && v.Template.Flags&lvs.Persistent == 0 {
				b.warn(v.At, "virtual_server", "%s: every port is only served with persistence: it is ignored", v.title())
				return false
			}
		} else if k.Family == 0 {
			k.Family = v.markFamily()
		}
		if at, ok := seen[*k]; ok {
			b.warn(v.At, "virtual_server", "%s is there already, at %s:%d: it is ignored", *k, at.File, at.Line)
			return false
		}
	}
	for _, k := range keys {
		seen[k] = v.At
	}
	v.Services = keys
	return len(keys) > 0
}

// markFamily is the family of a firewall mark's packets: as ip_family says, or as the servers have.
func (v *virtualBuild) markFamily() lvs.Family {
	switch {
	case v.family != 0:
		return v.family
	case v.Template.PrefixLen != 0:
		return lvs.IPv6
	}
	return lvs.FamilyOf(v.reals[0].addr.Addr())
}

// name is as keepalived writes it.
func (v *virtualBuild) name() string {
	switch {
	case v.Group != "":
		return fmt.Sprintf("[%s]:%s", v.Group, protocolName(v.protocol))
	case v.key.Mark != 0:
		return fmt.Sprintf("FWM %d", v.key.Mark)
	}
	return serverName(v.key.Addr, v.protocol)
}

func protocolName(p lvs.Protocol) string {
	if p == 0 {
		return "none"
	}
	return strings.ToLower(p.String())
}

// serverName gives "[192.0.2.1]:tcp:80".
func serverName(a netip.AddrPort, p lvs.Protocol) string {
	return fmt.Sprintf("[%s]:%s:%d", a.Addr(), protocolName(p), a.Port())
}

// reals settles the real servers.
func (b *builder) reals(v *virtualBuild) {
	names := map[string]bool{}
	for _, r := range v.reals {
		by := orElse(r.method, v.method)
		r.Destination = by.destination(b.port(v, by, r.addr, r.At, "real_server"), r.weight)
		r.Destination.Upper, r.Destination.Lower = uint32(r.upper), uint32(r.lower)
		if r.lower > r.upper && r.upper > 0 {
			b.warn(r.At, "lthreshold", "%d is more than uthreshold %d: it is not used", r.lower, r.upper)
			r.Destination.Lower = 0
		}
		r.Name = serverName(r.Destination.Addr, v.protocol)
		if !b.fits(v, by, r.addr.Addr()) {
			b.warn(r.At, "real_server", "%s: its address family is not that of %s, and it is no tunnel: it is ignored", r.Name, v.title())
			continue
		}
		if names[r.Name] {
			b.warn(r.At, "real_server", "%s is there already: it is ignored", r.Name)
			continue
		}
		names[r.Name] = true
		r.Inhibit = *orElse(r.inhibit, &v.inhibit)
		r.SlowStart = *orElse(r.slowStart, &v.slowStart)
		r.SMTPAlert = *orElse(r.smtpAlert, orElse(v.smtpAlert, orElse(b.config.Global.SMTPAlertChecker, orElse(b.config.Global.SMTPAlert, ptr(true)))))
		for _, c := range r.checks {
			if check, ok := b.finishCheck(c, r, v, checkedAt(r.addr, r.Destination.Addr)); ok {
				r.Checks = append(r.Checks, check)
			}
		}
		v.RealServers = append(v.RealServers, r.RealServer)
	}
}

// checkedAt is where a server is checked: at the port that is written, also where packets arrive at another.
func checkedAt(written, served netip.AddrPort) netip.AddrPort {
	if written.Port() == 0 {
		return served
	}
	return written
}

// port gives a server the service's port where packets arrive at it as they were sent.
func (b *builder) port(v *virtualBuild, by *method, addr netip.AddrPort, at Position, keyword string) netip.AddrPort {
	if v.Group != "" || v.key.Mark != 0 {
		return b.manyPorts(v, by, addr, at, keyword)
	}
	port := v.key.Addr.Port()
	if addr.Port() == 0 {
		return netip.AddrPortFrom(addr.Addr(), port)
	}
	if by.forwarding != lvs.Masquerade && addr.Port() != port {
		b.warn(at, keyword, "%s: by DR and TUN packets arrive at the service's port: it is set to %d", addr, port)
		return netip.AddrPortFrom(addr.Addr(), port)
	}
	return addr
}

// manyPorts warns where the port of a group's or a firewall mark's server can't be heeded, as packets keep theirs.
func (b *builder) manyPorts(v *virtualBuild, by *method, addr netip.AddrPort, at Position, keyword string) netip.AddrPort {
	if by.forwarding == lvs.Masquerade || addr.Port() == 0 {
		return addr
	}
	if v.key.Mark != 0 {
		b.warn(at, keyword, "%s: by DR and TUN a firewall mark's packets keep their port: the server's is cleared", addr)
		return netip.AddrPortFrom(addr.Addr(), 0)
	}
	marks, others := false, false
	for _, k := range v.Services {
		marks = marks || k.Mark != 0
		others = others || k.Mark == 0 && k.Addr.Port() != addr.Port()
	}
	if marks || others {
		b.warn(at, keyword, "%s: by DR and TUN packets keep their port: the server's is not heeded for all of group %s", addr, v.Group)
	}
	return addr
}

// fits tells whether a server can have an address of this family.
func (b *builder) fits(v *virtualBuild, by *method, a netip.Addr) bool {
	if by.forwarding == lvs.Tunnel {
		return true
	}
	return slices.ContainsFunc(v.Services, func(k lvs.ServiceKey) bool { return k.Family == lvs.FamilyOf(a) })
}

// sorry settles the sorry server.
func (b *builder) sorry(v *virtualBuild) {
	if v.sorryAddr == nil {
		return
	}
	by := orElse(v.sorryBy, v.method)
	if !b.fits(v, by, v.sorryAddr.Addr()) {
		b.warn(v.sorryAt, "sorry_server", "%s: its address family is not that of %s, and it is no tunnel: it is ignored", v.sorryAddr, v.title())
		return
	}
	d := by.destination(b.port(v, by, *v.sorryAddr, v.sorryAt, "sorry_server"), 1)
	v.Sorry = &RealServer{At: v.sorryAt, Destination: d, Inhibit: v.sorryInhibit, Name: serverName(d.Addr, v.protocol)}
}

// quorum limits what is said of the quorum to what can be.
func (b *builder) quorum(v *virtualBuild) {
	total := 0
	for i := range v.RealServers {
		total += int(v.RealServers[i].Destination.Weight)
	}
	if v.QuorumPercent == 0 && v.Quorum > total {
		most := max(total, 1)
		b.warn(v.At, "quorum", "%d is more than all weights together, %d: it is set to %d", v.Quorum, total, most)
		v.Quorum = most
	}
	if v.HysteresisPercent == 0 && v.QuorumPercent == 0 && v.Hysteresis >= v.Quorum && v.Hysteresis > 0 {
		b.warn(v.At, "hysteresis", "%d is not less than quorum %d: it is set to 0", v.Hysteresis, v.Quorum)
		v.Hysteresis = 0
	}
}
