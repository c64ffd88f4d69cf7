package datapath

import "net/netip"

// kernelNetwork is the calling thread's network namespace. It looks each address up once in a transaction.
type kernelNetwork struct{ routes *routes }

func newKernelNetwork() *kernelNetwork { return &kernelNetwork{routes: &routes{}} }

func (k *kernelNetwork) isLocal(server netip.Addr) bool { return k.routes.isLocal(server) }

// source gives the address that the kernel prefers for sending to a server, which is a tunnel's outer source;
// the zero Addr when there is no route or no address.
func (k *kernelNetwork) source(server netip.Addr) netip.Addr { return k.routes.source(server) }

// serversChanged has the kernel resolve the next hops of new servers and watch them, so that the first
// packet need not wait, and ends the watch over those that no server needs any more. A server that there is
// no route to yet is left to the programs.
func (k *kernelNetwork) serversChanged(added, gone map[netip.Addr]bool, remaining func() map[netip.Addr]bool) {
	defer k.close() // what was looked up holds for one transaction
	for server := range added {
		_ = k.routes.keepNeighbor(server)
	}
	if len(gone) == 0 {
		return
	}
	left := remaining()
	for server := range gone {
		if !left[server] {
			_ = k.routes.forgetNeighbor(server, left)
		}
	}
}

func (k *kernelNetwork) close() { k.routes.close() }

// addresses are those of the servers of all services.
func (t *Table) addresses() map[netip.Addr]bool {
	all := map[netip.Addr]bool{}
	for i := range t.dests.elements {
		if d := &t.dests.elements[i]; d.Flags&destAvailable != 0 {
			all[d.address()] = true
		}
	}
	return all
}

// address is the server's own: of IPv4, if it is that, whatever its service is.
func (d *directorDest) address() netip.Addr { return netip.AddrFrom16(d.Addr.Byte).Unmap() }
