package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/lab"
)

// TestNames types names of hosts and services, which the machine's own files give, and lists them.
func TestNames(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{Family: lab.V4})
	hosts := filepath.Join(t.TempDir(), "hosts")
	var text strings.Builder
	fmt.Fprintf(&text, "%s web\n", c.Topology.VIP(lab.V4))
	for _, rs := range lab.Servers {
		fmt.Fprintf(&text, "%s %s\n", c.Topology.Addr(rs, lab.V4), rs)
	}
	if err := os.WriteFile(hosts, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	// The mount ends with the shell, which the lab gives a mount namespace of its own.
	script := "mount --bind " + hosts + " /etc/hosts && ipvsadm -A -t web:http -s rr && " +
		"ipvsadm -a -t web:http -r rs1 && ipvsadm -a -t web:http -r rs2:http && ipvsadm -L"
	out, err := c.Exec(t.Context(), lab.Director, "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	_, listing, _ := strings.Cut(string(out), "\n") // without the version
	check(t, "listing", `Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  web:http rr
  -> rs1:http                     Route   1      0          0         
  -> rs2:http                     Route   1      0          0         
`, listing)
	check(t, "servers", []string{"rs1", "rs2"}, c.servers(lab.V4, 4))
	t.Logf("-t web:http -r rs1 became %s", c.saved()[1])
}
