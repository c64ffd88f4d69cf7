package datapath
import ("testing";"github.com/vishvananda/netlink";"drover/internal/lvs")
func TestZZ(t *testing.T) {
	r := newScene(t)
	must(t, netlink.LinkSetMTU(device(t, backName), 1400))
	for _, f := range families {
		in := f.request(lvs.UDP, routePort)
		in.payload = pattern(1400)
		for range 3 {
		v, out := r.receive(r.front, in.frame(t))
		t.Log(v, len(in.frame(t)), len(out), r.outcomes())
		for i := range uint32(20) { var h directorDestHop; r.objects.DestHops.Lookup(i, &h); if h.Word != 0 { t.Logf("%d %+v", i, h) } }
		r.turn(1000)
		}
	}
}
