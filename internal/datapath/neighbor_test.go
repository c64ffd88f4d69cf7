package datapath

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var (
	serverV4  = netip.MustParseAddr("192.0.2.2")
	serverV6  = netip.MustParseAddr("2001:db8::2")
	remoteV4  = netip.MustParseAddr("198.51.100.9") // by way of serverV4
	remoteV4b = netip.MustParseAddr("198.51.100.10")
	remoteV6  = netip.MustParseAddr("2001:db8:9::9") // by way of serverV6
)

// nudValid are the states in which an entry has an address (NUD_VALID of net/neighbour.h).
const nudValid = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_PROBE | unix.NUD_STALE | unix.NUD_DELAY

// segment makes a director's namespace and a server's, with one link between them, and routes over
// the server.
func segment(t *testing.T) (in func(func())) {
	t.Helper()
	enterNamespace(t)
	in = otherNamespace(t)
	addVethTo(t, "v0", "v1", in)
	addAddress(t, "v0", "192.0.2.1/24")
	addAddress(t, "v0", "2001:db8::1/64")
	in(func() {
		addAddress(t, "v1", "192.0.2.2/24")
		addAddress(t, "v1", "2001:db8::2/64")
	})
	addRoute(t, "198.51.100.0/24", "192.0.2.2")
	addRoute(t, "2001:db8:9::/64", "2001:db8::2")
	return in
}

func hopTo(t *testing.T, addr netip.Addr) nextHop {
	t.Helper()
	hop, err := freshRoutes(t).nextHopTo(addr)
	if err != nil || hop == nil {
		t.Fatalf("next hop to %s: %v, %v", addr, hop, err)
	}
	return *hop
}

func entryOf(t *testing.T, addr netip.Addr) *neighbor {
	t.Helper()
	entry, err := readNeighbor(hopTo(t, addr))
	must(t, err)
	return entry
}

func TestNextHop(t *testing.T) {
	segment(t)
	index := device(t, "v0").Attrs().Index
	for addr, want := range map[netip.Addr]netip.Addr{
		serverV4: serverV4, serverV6: serverV6, remoteV4: serverV4, remoteV6: serverV6,
	} {
		if got := hopTo(t, addr); got != (nextHop{want, index}) {
			t.Errorf("next hop to %s: %v, want %s on %d", addr, got, want, index)
		}
	}
	if hop, err := freshRoutes(t).nextHopTo(netip.MustParseAddr("192.0.2.1")); hop != nil || err != nil {
		t.Errorf("next hop to this host: %v, %v", hop, err)
	}
	if hop, err := freshRoutes(t).nextHopTo(netip.MustParseAddr("203.0.113.1")); err == nil {
		t.Errorf("next hop without a route: %v", hop)
	}
}

// With no traffic and no process the kernel resolves the next hop.
func TestKeepNeighborResolves(t *testing.T) {
	segment(t)
	// Before that the kernel sends no neighbour solicitations.
	eventually(t, 5*time.Second, "a link-local address", func() bool { return linkLocal(t, "v0") })
	for _, server := range []netip.Addr{serverV4, serverV6} {
		must(t, freshRoutes(t).keepNeighbor(server))
		eventually(t, time.Second, server.String()+" is reachable", func() bool {
			entry := entryOf(t, server)
			return entry != nil && entry.state&unix.NUD_REACHABLE != 0
		})
		must(t, freshRoutes(t).keepNeighbor(server)) // again
		if entry := entryOf(t, server); !entry.managed() || entry.state&unix.NUD_REACHABLE == 0 {
			t.Errorf("%s after the second time: %+v", server, entry)
		}
		must(t, freshRoutes(t).forgetNeighbor(server, nil))
		if entry := entryOf(t, server); entry == nil || entry.managed() || entry.state&nudValid == 0 {
			t.Errorf("%s forgotten: %+v, want it known, and no longer managed", server, entry)
		}
		must(t, freshRoutes(t).keepNeighbor(server)) // of a known entry
		if entry := entryOf(t, server); !entry.managed() || entry.state&nudValid == 0 {
			t.Errorf("%s kept again: %+v", server, entry)
		}
	}
}

// A server that is away is asked for until it comes.
func TestKeepNeighborWaitsForServer(t *testing.T) {
	in := segment(t)
	in(func() { must(t, netlink.LinkSetDown(device(t, "v1"))) })
	in(func() { must(t, netlink.LinkSetUp(device(t, "v1"))) }) // v0 has lost the carrier for a moment
	late := netip.MustParseAddr("192.0.2.77")
	must(t, freshRoutes(t).keepNeighbor(late))
	in(func() { addAddress(t, "v1", "192.0.2.77/24") })
	eventually(t, 15*time.Second, "the late server is reachable", func() bool {
		entry := entryOf(t, late)
		return entry != nil && entry.state&unix.NUD_REACHABLE != 0
	})
}

func TestPermanentNeighborIsLeftAlone(t *testing.T) {
	segment(t)
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	must(t, netlink.NeighAdd(&netlink.Neigh{
		LinkIndex: device(t, "v0").Attrs().Index, IP: serverV4.AsSlice(), HardwareAddr: mac, State: netlink.NUD_PERMANENT,
	}))
	must(t, freshRoutes(t).keepNeighbor(serverV4))
	must(t, freshRoutes(t).forgetNeighbor(serverV4, nil))
	if entry := entryOf(t, serverV4); entry == nil || entry.state != unix.NUD_PERMANENT || entry.managed() || entry.protocol != 0 {
		t.Errorf("entry %+v, want a permanent one, untouched", entry)
	}
}

// What somebody else has put under management stays so.
func TestForgetOnlyOurs(t *testing.T) {
	segment(t)
	must(t, netlink.NeighAdd(&netlink.Neigh{
		LinkIndex: device(t, "v0").Attrs().Index, IP: serverV4.AsSlice(), State: netlink.NUD_NONE,
		Flags: netlink.NTF_USE, FlagsExt: netlink.NTF_EXT_MANAGED,
	}))
	must(t, freshRoutes(t).keepNeighbor(serverV4))
	must(t, freshRoutes(t).forgetNeighbor(serverV4, nil))
	if entry := entryOf(t, serverV4); entry == nil || !entry.managed() {
		t.Errorf("entry %+v, want it managed", entry)
	}
	must(t, freshRoutes(t).forgetNeighbor(serverV6, nil)) // has none
}

func TestSharedGateway(t *testing.T) {
	segment(t)
	must(t, freshRoutes(t).keepNeighbor(remoteV4))
	must(t, freshRoutes(t).keepNeighbor(remoteV4b))
	must(t, freshRoutes(t).forgetNeighbor(remoteV4, map[netip.Addr]bool{remoteV6: true, remoteV4b: true}))
	if entry := entryOf(t, serverV4); entry == nil || !entry.managed() {
		t.Errorf("the gateway %+v, want it managed for the other server", entry)
	}
	must(t, freshRoutes(t).forgetNeighbor(remoteV4b, map[netip.Addr]bool{remoteV6: true}))
	if entry := entryOf(t, serverV4); entry == nil || entry.managed() {
		t.Errorf("the gateway %+v, want it no longer managed", entry)
	}
}

func TestParseNeighborRefusesShort(t *testing.T) {
	if entry, err := parseNeighbor(make([]byte, 11)); err == nil {
		t.Errorf("parsed %+v", entry)
	}
}

func TestLocalAddresses(t *testing.T) {
	segment(t)
	addAddress(t, "lo", "203.0.113.80/32")
	got, err := localAddresses()
	must(t, err)
	for _, want := range []string{"127.0.0.1", "::1", "192.0.2.1", "2001:db8::1", "203.0.113.80"} {
		addr := netip.MustParseAddr(want)
		if !slices.Contains(got, addr) {
			t.Errorf("%s is not among %v", want, got)
		}
		// An IPv6 address is in the kernel's local routes a moment after it was added.
		eventually(t, 2*time.Second, want+" is not owned by the host", func() bool { return freshRoutes(t).isLocal(addr) })
	}
	for _, addr := range []netip.Addr{serverV4, serverV6, remoteV4, netip.MustParseAddr("203.0.113.81")} {
		if slices.Contains(got, addr) || freshRoutes(t).isLocal(addr) {
			t.Errorf("%s is taken for one of ours", addr)
		}
	}
}

// freshRoutes have asked for nothing yet.
func freshRoutes(t *testing.T) *routes {
	t.Helper()
	r := &routes{}
	t.Cleanup(r.close)
	return r
}
