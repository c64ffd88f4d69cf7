//go:build kernel61

package kernel

import (
	"context"
	"strings"
	"testing"
	"time"

	"drover/internal/lab"
)

// TestUpgrade puts the same programs in their own place: tags, types of maps, links, timer and pins behave
// on 6.1 as on later kernels.
func TestUpgrade(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cluster := labUp(ctx, t, lab.NAT)
	vip := cluster.Topology.VIPs[0]
	balance(ctx, t, cluster, vip, "-m")
	already := run(ctx, t, cluster, lab.Director, "drover", "datapath", "upgrade")
	if want := "The data path is already this version.\n"; already != want {
		t.Errorf("upgrade: %q, want %q", already, want)
	}
	forced := run(ctx, t, cluster, lab.Director, "drover", "datapath", "upgrade", "--force")
	if !strings.HasPrefix(forced, "The data path is upgraded.\n") {
		t.Errorf("forced upgrade: %q", forced)
	}
	status := run(ctx, t, cluster, lab.Director, "drover", "datapath", "status")
	if !strings.Contains(status, "this version\n") {
		t.Errorf("status after the upgrade:\n%s", status)
	}
	checkAnswers(t, ask(ctx, t, cluster, vip))
}
