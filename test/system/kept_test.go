package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/lab"
)

// TestSaveRestore: what drover save prints makes the same again after an unload, to the byte: services with thresholds
// and persistence, timeouts, marks, tunes, access rules, standby.
func TestSaveRestore(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{Mode: lab.DR})
	vip := c.Topology.VIP(lab.V4).String()
	for _, f := range families {
		c.balance(f, "rs1", "rs2")
		c.ipvsadm("-e -g -w 3 -x 100 -y 50 -t " + c.vip(f, 80) + " -r " + c.rip("rs1", f, 80))
	}
	c.ipvsadm("-A -f 7 -s wlc -p 60 -M 255.255.255.0")
	for _, line := range []string{
		"ipvsadm --set 800 90 250", "drover timeouts set tcp/" + vip + ":80 --established 1h",
		"drover mark add --mark 7 --proto tcp --dst " + vip + " --dport 20-21",
		"drover tune set conn_reuse_mode 2", "drover tune set half_open_max 30",
		"drover acl add deny 203.0.113.0/28 --reason scanner --service tcp/" + vip + ":80",
		"drover acl add allow 203.0.113.7 --in eth0", "drover acl limit --rate 100/s --burst 200",
		"drover datapath vip " + vip + " standby",
	} {
		c.run(lab.Director, line)
	}
	first := c.run(lab.Director, "drover save")
	for _, want := range []string{"-x 100 -y 50", "-p 60", "--set 800 90 250", "mark add", "conn_reuse_mode 2", "scanner", "limit --rate 100/s", "standby"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not in what save prints:\n%s", want, first)
		}
	}
	file := filepath.Join(t.TempDir(), "saved")
	if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(lab.Director, "drover datapath unload")
	c.run(lab.Director, "drover restore "+file)
	check(t, "save after restore", first, c.run(lab.Director, "drover save"))
	broken := strings.Replace(first, "mark add --mark 7", "mark add --mark seven", 1)
	if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.try(lab.Director, "drover restore "+file); err == nil || !strings.Contains(err.Error(), "seven") {
		t.Errorf("a mark that is no number: %v", err)
	}
	check(t, "save after a restore that was refused", first, c.run(lab.Director, "drover save"))
}

// TestFirewallImport: a firewall that let in some is warned about when the data path is loaded, and its rules hold
// again when they are imported.
func TestFirewallImport(t *testing.T) {
	t.Parallel()
	c := newCluster(t, lab.Config{Mode: lab.DR, Family: lab.V4})
	f := lab.V4
	client := c.Topology.Addr(lab.Client, f).String()
	for _, rule := range []string{
		"-A INPUT -i lo -j ACCEPT", "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
		"-A INPUT -s " + client + "/32 -p tcp -m tcp --dport 80 -j DROP",
	} {
		c.run(lab.Director, "iptables-nft "+rule)
	}
	c.run(lab.Director, "iptables-legacy -t mangle -A PREROUTING -d "+c.Topology.VIP(f).String()+" -p tcp --dport 443 -j MARK --set-mark 5")
	got := c.typed(root, "ipvsadm -A -s rr -t "+c.vip(f, 80))
	for _, want := range []string{"iptables-nft filter INPUT rule 3: ", "-j DROP", "iptables-legacy mangle PREROUTING rule 1: ", "drover acl import"} {
		if !strings.Contains(got.Stderr, want) {
			t.Errorf("%q is not in what the load said:\n%s", want, got.Stderr)
		}
	}
	c.addServer(f, "rs1")
	check(t, "who answers though the firewall would not let it", []string{"rs1"}, c.servers(f, 1))
	before := c.run(lab.Director, "drover acl list")
	text, err := c.try(lab.Director, "drover acl import --dry-run")
	if err == nil || !strings.Contains(err.Error(), "conntrack") || !strings.Contains(text+err.Error(), "deny "+client) {
		t.Errorf("import --dry-run: %v\n%s", err, text)
	}
	check(t, "rules after a dry run", before, c.run(lab.Director, "drover acl list"))
	if _, err := c.try(lab.Director, "drover acl import"); err == nil || !strings.Contains(err.Error(), "not taken over: 1 of the rules") {
		t.Errorf("import: %v", err)
	}
	if _, err := c.try(lab.Client, "curl -s -m 0.5 "+c.url(f, "/")); err == nil {
		t.Error("the client is let in after the import")
	}
	c.run(lab.Director, "drover mark import")
	if marks := c.run(lab.Director, "drover mark list"); !strings.Contains(marks, "443") {
		t.Errorf("marks after the import:\n%s", marks)
	}
}
