package ipvsadm

import "drover/internal/lvs"

// listConnections prints the connection table. --persistent-conn adds the persistence engine's
// columns, to which ipvsadm gives other widths in the title than in the lines.
func (s *session) listConnections(r *request) error {
	connections, err := s.table.Connections()
	if err != nil {
		return err
	}
	f := formatOf(r)
	engine := r.options.has(optPersistentConn)
	s.print("IPVS connection entries\n")
	if engine {
		s.print("pro expire %-11s %-18s %-18s %-18s %-16s %s\n",
			"state", "source", "virtual", "destination", "pe name", "pe_data")
	} else {
		s.print("pro expire %-11s %-18s %-18s %s\n", "state", "source", "virtual", "destination")
	}
	for i := range connections {
		s.printConnection(f, &connections[i], engine)
	}
	return nil
}

func (s *session) printConnection(f format, c *lvs.Connection, engine bool) {
	left := seconds(c.Expires)
	destination := s.endpoint(f, c.Protocol, c.Destination)
	s.print("%-3s %02d:%02d  %-11s %-18s %-18s ", connectionProtocol(c.Protocol), left/60, left%60,
		connectionState(c), s.endpoint(f, c.Protocol, c.Client), s.endpoint(f, c.Protocol, c.Virtual))
	if engine && c.PEName != "" && c.PEData != "" {
		s.print("%-16s %-18s %s\n", destination, c.PEName, c.PEData)
		return
	}
	s.print("%s\n", destination)
}

// connectionProtocol names a protocol as the kernel does: the template of a firewall-mark service
// has protocol 0.
func connectionProtocol(p lvs.Protocol) string {
	if p == lvs.ProtocolNone {
		return "IP"
	}
	return p.String()
}

// connectionState names a state. A template has but one bit of state, which says that its client
// completed a handshake (IP_VS_CTPL_S_ASSURED).
func connectionState(c *lvs.Connection) string {
	switch {
	case c.Template && c.State&1 != 0:
		return "ASSURED"
	case c.Template:
		return "NONE"
	}
	return lvs.StateName(c.Protocol, c.State)
}
