package datapath

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"drover/internal/lvs"
)

// explainService finds the service that the packet is for, in the data path's order, and says of each server why it
// was chosen or not.
func (t *Table) explainService(e *Explanation, q Question) error {
	s, err := t.serviceOf(q, e.Mark)
	if err != nil || s == nil {
		return err
	}
	e.Service = s
	if e.Known != nil || e.Begun == nil && !e.Chosen.IsValid() && e.Outcome.Name != "unreachable" {
		return nil
	}
	if e.Kept, err = t.keeps(s, q, e.Chosen); err != nil {
		return err
	}
	_, row, err := t.find(s.ServiceKey)
	if err != nil {
		return nil // it was deleted meanwhile
	}
	for i, el := range t.list(row.Block) {
		if i >= len(s.Destinations) {
			break
		}
		d := s.Destinations[i]
		overloaded := atomic.LoadUint64(&t.destConns.at(el.slot()).Word)&connsOverload != 0
		e.Choices = append(e.Choices, Choice{d, overloaded, why(e, s, d, overloaded)})
	}
	return nil
}

// serviceOf looks a packet's service up: its mark's, that of its address and port, FTP's, that of all ports.
func (t *Table) serviceOf(q Question, mark uint32) (*lvs.ServiceState, error) {
	family := lvs.FamilyOf(q.To.Addr())
	at := func(port uint16) lvs.ServiceKey {
		return lvs.ServiceKey{Protocol: q.Protocol, Addr: netip.AddrPortFrom(q.To.Addr(), port), Family: family}
	}
	keys := []lvs.ServiceKey{at(q.To.Port())}
	if mark != 0 {
		keys = slices.Insert(keys, 0, lvs.ServiceKey{Mark: mark, Family: family})
	}
	if q.Protocol == lvs.TCP && (q.To.Port() == 20 || q.To.Port() >= 1024) {
		keys = append(keys, at(ftpPort))
	}
	for _, k := range append(keys, at(0)) {
		s, err := t.Service(k)
		if err == nil {
			return &s, nil
		}
		if !errors.Is(err, lvs.ErrNoService) {
			return nil, err
		}
	}
	return nil, nil
}

// keeps tells whether the client has a template for the server.
func (t *Table) keeps(s *lvs.ServiceState, q Question, server netip.AddrPort) (bool, error) {
	if s.Flags&lvs.Persistent == 0 || !server.IsValid() {
		return false, nil
	}
	masked := netip.PrefixFrom(q.From.Addr(), q.From.Addr().BitLen()).Addr()
	if s.Family == lvs.IPv4 && s.Netmask.Is4() {
		a, m := q.From.Addr().As4(), s.Netmask.As4()
		for i := range a {
			a[i] &= m[i]
		}
		masked = netip.AddrFrom4(a)
	} else if s.Family == lvs.IPv6 && s.PrefixLen > 0 {
		masked = netip.PrefixFrom(q.From.Addr(), s.PrefixLen).Masked().Addr()
	}
	all, err := t.Connections()
	return slices.ContainsFunc(all, func(c lvs.Connection) bool {
		return c.Template && c.Client.Addr() == masked && c.Destination.Addr() == server.Addr()
	}), err
}

// why says why a server of a new connection's service was taken or not.
func why(e *Explanation, s *lvs.ServiceState, d lvs.Destination, overloaded bool) string {
	switch {
	case d.Addr == e.Chosen && e.Kept:
		return "chosen: persistence keeps the client here"
	case d.Addr == e.Chosen:
		return "chosen"
	case d.Drain:
		return "it is being drained"
	case d.Weight == 0:
		return "its weight is 0"
	case overloaded:
		return fmt.Sprintf("it is at its upper threshold, %d connections", d.Upper)
	case e.Kept:
		return "persistence keeps the client elsewhere"
	}
	load := func(n uint64) string {
		return fmt.Sprintf("its load for its weight, %d/%d, is not less than the chosen one's", n, d.Weight)
	}
	switch s.Scheduler {
	case "rr", "wrr":
		return "it is not its turn"
	case "lc":
		return fmt.Sprintf("its load, %d, is not less than the chosen one's", uint64(d.ActiveConns)*256+uint64(d.InactConns))
	case "wlc":
		return load(uint64(d.ActiveConns)*256 + uint64(d.InactConns))
	case "sed", "nq":
		return load(uint64(d.ActiveConns) + 1)
	case "sh", "mh":
		return "the client's address hashes to another"
	case "dh":
		return "the VIP hashes to another"
	case "fo":
		return "its weight is not the largest"
	case "ovf":
		return fmt.Sprintf("its weight is not the largest, or its %d active connections fill it", d.ActiveConns)
	case "lblc", "lblcr":
		return "the destination goes on to the server that it had, or to the least loaded"
	}
	return "it was not drawn, or has more to do"
}
