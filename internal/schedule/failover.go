package schedule

// heaviest gives the first of the heaviest usable servers that are fit for a connection.
func heaviest(servers []Server, fit func(Server) bool) (index int, ok bool) {
	for i, s := range servers {
		if s.usable() && fit(s) && (!ok || s.Weight > servers[index].Weight) {
			index, ok = i, true
		}
	}
	return index, ok
}

// failover is fo: the server of the largest weight, and the next one only when that is gone.
type failover struct{}

func (failover) Pick(servers []Server, _ Packet) (int, bool) {
	return heaviest(servers, func(Server) bool { return true })
}
func (failover) Changed(_, _ []Server) {}

// overflow is ovf: the server of the largest weight, until it has more active connections than that; then
// the next. A server of weight w so takes w+1 connections, and when all are full, new ones are refused.
type overflow struct{}

func (overflow) Pick(servers []Server, _ Packet) (int, bool) {
	return heaviest(servers, func(s Server) bool { return s.Active <= uint32(s.Weight) })
}
func (overflow) Changed(_, _ []Server) {}
