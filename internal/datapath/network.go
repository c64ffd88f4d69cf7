package datapath

import "net/netip"

// kernelNetwork is the calling thread's network namespace.
type kernelNetwork struct{}

func (kernelNetwork) isLocal(server directorDest) bool {
	return ownedByHost(unmapped(server.Addr, server.RipFamily))
}

// keep has the kernel resolve the server's next hop and watch it, so that the first packet need not
// wait. A server that there is no route to yet is left to the programs.
func (kernelNetwork) keep(server directorDest) error {
	_ = keepNeighbor(unmapped(server.Addr, server.RipFamily))
	return nil
}

// forget ends the watch, unless another server has the same next hop.
func (kernelNetwork) forget(server directorDest, others func() []directorDest) error {
	var remaining []netip.Addr
	for _, d := range others() {
		remaining = append(remaining, unmapped(d.Addr, d.RipFamily))
	}
	_ = forgetNeighbor(unmapped(server.Addr, server.RipFamily), remaining...)
	return nil
}

// source gives the address that the kernel would send from to the server, which is a tunnel's outer source.
func (kernelNetwork) source(server directorDest) netip.Addr {
	return sourceTowards(unmapped(server.Addr, server.RipFamily))
}
