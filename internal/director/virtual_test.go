package director

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/config"
	"drover/internal/vrrp"
)

// A fakeRouter notes what is asked of it.
type fakeRouter struct {
	sets  int
	ended bool
	tell  func(vrrp.Change)
}

func (r *fakeRouter) Run(ctx context.Context) {
	<-ctx.Done()
	r.tell(vrrp.Change{Name: "VI_1", From: vrrp.Master, To: vrrp.Init, Priority: 150, Why: "stopped"})
	r.ended = true
}
func (r *fakeRouter) Refresh()           {}
func (r *fakeRouter) Set(*config.Config) { r.sets++ }
func (r *fakeRouter) Status() []vrrp.Status {
	return []vrrp.Status{{Instance: vrrp.Instance{Name: "VI_1", Settings: vrrp.Settings{Priority: 150}}, State: vrrp.Master, Priority: 140}}
}

// TestVirtualRouters: the director starts them after its services, tells of their changes in keepalived's words, gives them each
// configuration, and ends them before itself.
func TestVirtualRouters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, virtual(1, 11))
		s.config.VRRP.Instances = []config.Instance{{Name: "VI_1"}}
		router := &fakeRouter{}
		s.router = router
		router.tell = func(c vrrp.Change) { s.director.Changed(c) }
		s.run()
		s.told = nil
		s.director.Changed(vrrp.Change{Name: "VI_1", From: vrrp.Backup, To: vrrp.Master, Priority: 150, Why: "no advert in time"})
		s.director.Changed(vrrp.Change{Name: "VI_1", From: vrrp.Master, To: vrrp.Failed, Priority: 150, Why: "eth0 is down"})
		s.director.Changed(vrrp.Change{Name: "VG", Group: true, To: vrrp.Failed})
		synctest.Wait()
		s.wantsTold("changes", "(VI_1) Entering MASTER STATE", "(VI_1) Entering FAULT STATE", "VRRP_Group(VG) Syncing instances to FAULT state")
		snapshot, err := s.director.Snapshot(t.Context())
		if err != nil || len(snapshot.VRRP) != 1 || snapshot.VRRP[0].State != "MASTER" || snapshot.VRRP[0].Priority != 140 || snapshot.VRRP[0].Base != 150 {
			t.Errorf("snapshot %+v, %v", snapshot.VRRP, err)
		}
		if err := s.director.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.told = nil
		s.end()
		if !router.ended || router.sets != 2 {
			t.Errorf("ended %v, %d configurations", router.ended, router.sets)
		}
		if !slices.ContainsFunc(s.told, func(e Event) bool { return e.State == "STOP" && e.Instance == "VI_1" }) {
			t.Errorf("the end is not told: %s", cmp.Diff(nil, s.told))
		}
		time.Sleep(time.Second)
	})
}
