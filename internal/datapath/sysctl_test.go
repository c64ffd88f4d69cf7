package datapath

import (
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func settings(t *testing.T) string {
	t.Helper()
	var values []string
	for _, name := range forwardingSettings {
		value, err := readSetting(name)
		must(t, err)
		values = append(values, value)
	}
	return strings.Join(values, " ")
}

func TestForwarding(t *testing.T) {
	needRoot(t)
	for _, before := range []string{"0 0 0 0", "1 0 0 0", "0 1 1 0", "1 1 1 1", "0 2 0 1"} {
		// A thread of its own: the settings are those of a namespace.
		t.Run("before "+before, func(t *testing.T) {
			t.Setenv("DROVER_RUN", t.TempDir())
			enterNamespace(t)
			for i, value := range strings.Fields(before) {
				must(t, writeSettings(map[string]string{forwardingSettings[i]: value}))
			}
			f, err := ownFolder()
			must(t, err)
			for range 2 { // the second time must not take our own values for the earlier ones
				warnings, err := f.enableForwarding()
				if err != nil || len(warnings) != 0 {
					t.Fatalf("warnings %q, error %v", warnings, err)
				}
				if got := settings(t); got != "1 1 1 1" {
					t.Errorf("enabled: %s", got)
				}
			}
			for range 2 { // the second time has nothing to do
				must(t, f.restoreForwarding())
				if got := settings(t); got != before {
					t.Errorf("restored: %s, want %s", got, before)
				}
			}
			if _, err := os.Stat(f.statePath()); err == nil {
				t.Error("the state file is left behind")
			}
		})
	}
}

// The kernel forgets advertised default routes when IPv6 forwarding is set on any interface. A router
// that answers has to get it back, a silent one a warning.
func TestAdvertisedDefaultRouteSurvives(t *testing.T) {
	needRoot(t)
	for _, answers := range []bool{true, false} {
		name := map[bool]string{true: "router answers", false: "router is silent"}[answers]
		t.Run(name, func(t *testing.T) {
			t.Setenv("DROVER_RUN", t.TempDir())
			enterNamespace(t)
			in := otherNamespace(t)
			addVethTo(t, "v0", "v1", in)
			var router advertiser
			in(func() { router = newAdvertiser(t, "v1") })
			eventually(t, 10*time.Second, "a link-local address", func() bool { return linkLocal(t, "v0") })
			eventually(t, 10*time.Second, "the default route", func() bool {
				router.advertise()
				have, err := advertisedDefaults()
				must(t, err)
				return len(have) == 1
			})
			if answers {
				router.answer(t)
			}
			f, err := ownFolder()
			must(t, err)
			warnings, err := f.enableForwarding()
			must(t, err)
			have, err := advertisedDefaults()
			must(t, err)
			if answers && (len(have) != 1 || len(warnings) != 0) {
				t.Errorf("routes on %v, warnings %q; want the route and no warning", have, warnings)
			}
			if !answers && (len(have) != 0 || len(warnings) != 1 || !strings.HasPrefix(warnings[0], "v0: ")) {
				t.Errorf("routes on %v, warnings %q; want no route and a warning that names v0", have, warnings)
			}
		})
	}
}

// linkLocal tells whether an interface has a link-local address that is past duplicate detection.
func linkLocal(t *testing.T, name string) bool {
	t.Helper()
	list, err := netlink.AddrList(device(t, name), netlink.FAMILY_V6)
	must(t, err)
	return slices.ContainsFunc(list, func(a netlink.Addr) bool {
		return a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0
	})
}

// advertiser is a router at one end of a link.
type advertiser struct {
	fd, index int
}

func newAdvertiser(t *testing.T, name string) advertiser {
	t.Helper()
	eventually(t, 10*time.Second, "the router's link-local address", func() bool { return linkLocal(t, name) })
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}))
	must(t, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1))
	must(t, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
	index := device(t, name).Attrs().Index
	group := unix.IPv6Mreq{Multiaddr: netip.MustParseAddr("ff02::2").As16(), Interface: uint32(index)}
	must(t, unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_ADD_MEMBERSHIP, &group))
	return advertiser{fd, index}
}

// advertise sends a router advertisement for a default route of 1,800 seconds (RFC 4861, Section 4.2).
func (a advertiser) advertise() {
	message := []byte{134, 0, 0, 0, 64, 0, 1800 >> 8, 1800 & 0xff, 15: 0}
	all := &unix.SockaddrInet6{Addr: netip.MustParseAddr("ff02::1").As16(), ZoneId: uint32(a.index)}
	_ = unix.Sendto(a.fd, message, 0, all) // what does not arrive fails the test
}

// answer answers solicitations until the test ends.
func (a advertiser) answer(t *testing.T) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		buffer, ancillary := make([]byte, 1500), make([]byte, 256)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, control, _, _, err := unix.Recvmsg(a.fd, buffer, ancillary, 0)
			if err == nil && n >= 8 && buffer[0] == routerSolicitation && validSolicitation(ancillary[:control]) {
				a.advertise()
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}

// validSolicitation tells from the ancillary data (RFC 3542) whether a solicitation was sent to all
// routers and has crossed none, as RFC 4861, Sections 4.1 and 6.1.1, wants it.
func validSolicitation(ancillary []byte) bool {
	messages, err := unix.ParseSocketControlMessage(ancillary)
	if err != nil {
		return false
	}
	hopLimit, destination := uint32(0), netip.Addr{}
	for _, message := range messages {
		switch {
		case message.Header.Type == unix.IPV6_HOPLIMIT && len(message.Data) >= 4:
			hopLimit = binary.NativeEndian.Uint32(message.Data)
		case message.Header.Type == unix.IPV6_PKTINFO && len(message.Data) >= 16:
			destination = netip.AddrFrom16([16]byte(message.Data))
		}
	}
	return hopLimit == 255 && destination == netip.MustParseAddr("ff02::2")
}
