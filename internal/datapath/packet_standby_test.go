package datapath

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

// TestStandby: what comes for a VIP that another director has is the host's, whatever it is, and only for
// that long.
func TestStandby(t *testing.T) {
	r := newScene(t)
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		for forwarding, port := range forwardings {
			request := f.request(p, port)
			forwarded := f.toServer(request, forwarding).frame(t)
			r.wants("before", r.front, request.frame(t), xdpRedirect, forwarded)
			must(t, r.table.SetStandby(f.vip, true))
			r.passes("a known connection's", r.front, request.frame(t))
			fresh := request
			fresh.from = netip.AddrPortFrom(f.client, clientPort+1)
			r.passes("a first packet", r.front, fresh.frame(t))
			for _, fragment := range fresh.fragments(t, 24) {
				r.passes("a fragment", r.front, fragment)
			}
			must(t, r.table.SetStandby(f.vip, false))
			r.wants("afterwards", r.front, request.frame(t), xdpRedirect, forwarded)
		}
	})
	must(t, r.table.SetStandby(families[0].vip, true))
	got, err := r.table.Standby()
	must(t, err)
	if diff := cmp.Diff([]netip.Addr{families[0].vip}, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("VIPs on standby (-want +got):\n%s", diff)
	}
	r.wants("another VIP's", r.front, families[1].request(lvs.TCP, routePort).frame(t), xdpRedirect,
		families[1].toServer(families[1].request(lvs.TCP, routePort), lvs.DirectRoute).frame(t))
}
