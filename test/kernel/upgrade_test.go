//go:build kernel61

package kernel

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"drover/internal/lab"
)

// checkUpgrade puts the same programs in their own place, under the services that are there: tags, types of
// maps, links, timer and pins behave on 6.1 as on later kernels.
func checkUpgrade(ctx context.Context, t *testing.T, cluster *lab.Lab, vip netip.Addr) {
	t.Helper()
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
