package config

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"drover/internal/lvs"
)

// A realBuild is a real server while it is read.
type realBuild struct {
	RealServer
	settings
	addr      netip.AddrPort
	method    *method
	inhibit   *bool
	smtpAlert *bool
	slowStart *time.Duration
	weight    int
	upper     int
	lower     int
	checks    []*checkBuild
}

func real1(b *builder) *realBuild { return b.real }

var realBlock = &blockKind{name: "real_server", rows: slices.Concat([]row{
	{"weight", Acted, "", integer(0, math.MaxInt32, func(b *builder) *int { return &real1(b).weight })},
	{"lvs_method", Acted, "", readMethod(func(b *builder) **method { return &real1(b).method })},
	{"uthreshold", Acted, "", integer(0, math.MaxInt32, func(b *builder) *int { return &real1(b).upper })},
	{"lthreshold", Acted, "", integer(0, math.MaxInt32, func(b *builder) *int { return &real1(b).lower })},
	{"inhibit_on_failure", Acted, "", truthOrUnset(func(b *builder) **bool { return &real1(b).inhibit })},
	{"notify_up", Acted, "", program(func(b *builder) **Script { return &real1(b).NotifyUp })},
	{"notify_down", Acted, "", program(func(b *builder) **Script { return &real1(b).NotifyDown })},
	{"smtp_alert", Acted, "", truthOrUnset(func(b *builder) **bool { return &real1(b).smtpAlert })},
	{"virtualhost", Acted, "", word1(func(b *builder) *string { return &real1(b).settings.virtualHost })},
	{"snmp_name", Noted, "there are metrics for Prometheus in the place of SNMP", wantOne},
	{"slow_start", Acted, "Drover's own: as in virtual_server", duration(0, longest, func(b *builder) **time.Duration { return &real1(b).slowStart })},
}, checkRows, settingRows(1, func(b *builder) *settings { return &real1(b).settings }))}

// readReal reads a real_server block.
func (b *builder) readReal(s *Statement) {
	addr, ok := b.endpoint(s, 1)
	if !ok {
		return
	}
	if v := virtual(b); v.key.Addr.IsValid() && lvs.FamilyOf(addr.Addr()) != v.key.Family && !v.tunnels() {
		b.wrong(s, "%s: its address family is not that of %s, and it is no tunnel: it is skipped", addr, v.title())
		return
	}
	r := &realBuild{addr: addr, weight: 1}
	r.At = s.At
	b.real = r
	b.enter(realBlock, s)
	b.real = nil
	virtual(b).reals = append(virtual(b).reals, r)
}

// tunnels tells whether the servers are reached by tunnels, as far as is known.
func (v *virtualBuild) tunnels() bool { return v.method != nil && v.method.forwarding == lvs.Tunnel }

// destination gives the server as ip_vs has it.
func (m *method) destination(addr netip.AddrPort, weight int) lvs.Destination {
	return lvs.Destination{
		Addr: addr, Weight: int32(weight), Forwarding: m.forwarding,
		TunnelType: m.tunnel, TunnelPort: m.port, TunnelFlags: m.flags,
	}
}
