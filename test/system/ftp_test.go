package system

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drover/internal/lab"
)

// serveFTP runs vsftpd on a node, with files for anonymous clients: "who" has the node's name.
func (c *cluster) serveFTP(node string) {
	c.t.Helper()
	// Not below the test's folder: vsftpd gives up root, and must still reach its files.
	root, err := os.MkdirTemp("", "drover-ftp-")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			c.t.Error(err)
		}
	})
	files, empty := filepath.Join(root, "files"), filepath.Join(root, "empty")
	config := fmt.Sprintf(`listen=NO
listen_ipv6=YES
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root=%s
secure_chroot_dir=%s
connect_from_port_20=YES
pasv_enable=YES
port_enable=YES
seccomp_sandbox=NO
isolate_network=NO
xferlog_enable=NO
`, files, empty)
	err = errors.Join(os.Chmod(root, 0o755), os.Mkdir(files, 0o755), os.Mkdir(empty, 0o555),
		os.WriteFile(filepath.Join(files, "who"), []byte(node), 0o644),
		os.WriteFile(filepath.Join(files, "large"), pattern(megabyte), 0o644),
		os.WriteFile(filepath.Join(root, "vsftpd.conf"), []byte(config), 0o600))
	if err != nil {
		c.t.Fatal(err)
	}
	var output bytes.Buffer
	cmd := exec.Command("vsftpd", filepath.Join(root, "vsftpd.conf"))
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := c.Do(node, cmd.Start); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			c.t.Errorf("vsftpd on %s: %v: %s", node, err, output.String())
		}
		_ = cmd.Wait() // it was killed
	})
	eventually(c.t, 5*time.Second, func() string {
		err := c.Do(node, func() error {
			conn, err := net.Dial("tcp", "127.0.0.1:21")
			if err == nil {
				err = conn.Close()
			}
			return err
		})
		if err != nil {
			return err.Error() + output.String()
		}
		return ""
	})
}

// TestFTP: FTP as sites run it with LVS, active and passive, in the modes whose servers answer directly: control and
// data belong together by the client's persistence, on a firewall mark or on all ports of the VIP.
func TestFTP(t *testing.T) {
	t.Parallel()
	for _, mode := range []lab.Mode{lab.DR, lab.TUN} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, lab.Config{Mode: mode})
			for _, rs := range []string{"rs1", "rs2", "rs3"} {
				c.serveFTP(rs)
			}
			for _, f := range families {
				vip := c.Topology.VIP(f)
				mark := "-f 1"
				if f == lab.V6 {
					mark = "-f 1 -6"
				}
				c.run(lab.Director, fmt.Sprintf("drover mark add --mark 1 --proto tcp --dst %s --dport 20-21", vip))
				c.run(lab.Director, fmt.Sprintf("drover mark add --mark 1 --proto tcp --dst %s --dport 1024-65535", vip))
				c.serveAndFetch(f, mark)
				c.run(lab.Director, "drover mark flush")
				c.serveAndFetch(f, "-t "+c.vip(f, 0))
			}
		})
	}
}

// serveAndFetch makes the service, persistent, and fetches from it in both modes of FTP.
func (c *cluster) serveAndFetch(f lab.Family, service string) {
	c.t.Helper()
	c.ipvsadm("-A " + service + " -s rr -p 300")
	for _, rs := range []string{"rs1", "rs2", "rs3"} {
		c.ipvsadm("-a " + service + " -r " + c.rip(rs, f, 0) + " " + c.how())
	}
	url := "ftp://" + strings.TrimSuffix(c.vip(f, 21), ":21")
	first := ""
	for _, way := range []string{"--ftp-pasv", "--ftp-port -"} {
		who := c.run(lab.Client, "curl -sS -m 10 "+way+" "+url+"/who")
		if first == "" {
			first = who
		}
		if !strings.HasPrefix(who, "rs") || who != first {
			c.t.Errorf("%s %s, %s: the server is %q, and was %q", f, service, way, who, first)
		}
		if large := c.run(lab.Client, "curl -sS -m 10 "+way+" "+url+"/large"); large != string(pattern(megabyte)) {
			c.t.Errorf("%s %s, %s: %d bytes came, not what was to come", f, service, way, len(large))
		}
	}
	if listed := c.ipvsadm("-Lnc --persistent-conn"); !strings.Contains(listed, "ASSURED") && !strings.Contains(listed, ":0 ") {
		c.t.Errorf("%s %s: no template:\n%s", f, service, listed)
	}
	c.ipvsadm("-D " + service)
}
