package datapath

import (
	"net/netip"
	"testing"

	"drover/internal/lvs"
)

// TestReusedEnds: a SYN with the ends of a closed connection begins a new one. The old one still counts while
// its server is chosen, as in ip_vs, so that lc goes to the other server each time, and no longer after that:
// also where there is no server, or no service any more.
func TestReusedEnds(t *testing.T) {
	r := newRig(t, 1<<12)
	vip := netip.MustParseAddrPort("192.0.2.100:80")
	w := serviceTwin(r, t, lvs.Service{
		ServiceKey: lvs.ServiceKey{Protocol: lvs.TCP, Addr: vip, Family: lvs.IPv4}, Scheduler: "lc",
	})
	w.add(t, 1)
	w.add(t, 1)
	f := flow{protocol: lvs.TCP, from: netip.MustParseAddrPort("203.0.113.1:1024"), to: vip}
	for n := range 4 {
		server, ok := r.connect(f)
		if want := w.servers[n%2].Addr; !ok || server != want {
			t.Errorf("connection %d went to %v (%t), want %v", n, server, ok, want)
		}
		r.establish(f)
		r.reset(f)
		wantConnections(t, r, 1)
	}
	for at := range w.servers {
		w.edit(t, at, 0)
	}
	if server, ok := r.connect(f); ok {
		t.Errorf("went to %v, without a server", server)
	}
	wantConnections(t, r, 0)
	w.edit(t, 0, 1)
	r.connect(f)
	r.establish(f)
	r.reset(f)
	must(t, r.table.DeleteService(w.service.ServiceKey))
	if verdict, _ := r.receive(r.front, f.frame(frontMAC, flagSYN)); verdict != xdpPass {
		t.Errorf("without a service: verdict %d, want %d", verdict, xdpPass)
	}
	wantConnections(t, r, 0)
}

func wantConnections(t *testing.T, r *rig, want int) {
	t.Helper()
	all, err := r.table.Connections()
	must(t, err)
	if len(all) != want {
		t.Errorf("%d connections, want %d: %v", len(all), want, all)
	}
}
