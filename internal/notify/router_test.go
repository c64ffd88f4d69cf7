package notify

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/config"
	"drover/internal/director"
)

// TestVirtualRouter: a virtual router's change runs the program of its state with the arguments of the configuration, and `notify`
// with what has happened; it is a line for VRRP's pipe and everybody's, not for that of the servers; and a mail.
func TestVirtualRouter(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	out := filepath.Join(folder, "out")
	shell := func(name string) *config.Script {
		return &config.Script{Command: []string{"/bin/sh", "-c", `echo "$0 $*" >> ` + out, name}, User: "root"}
	}
	fifo := func(name string) *config.FIFO { return &config.FIFO{Path: filepath.Join(folder, name)} }
	address, messages := mailServer(t, "")
	c := mailConfig(address)
	c.Global.NotifyFIFO, c.Global.VRRPNotifyFIFO, c.Global.LVSNotifyFIFO = fifo("all"), fifo("vrrp"), fifo("lvs")
	n, _ := newNotifier(c)
	in := &config.Instance{Name: "VI_1", Notify: config.Notify{Any: shell("any"), Master: shell("master"), Fault: shell("fault")}, SMTPAlert: true}
	group := &config.SyncGroup{Name: "VG", Notify: config.Notify{Any: shell("group")}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n.Tell(director.Event{Kind: director.KindVRRP, State: "MASTER", Instance: "VI_1", Priority: 150, Time: at, Message: "(VI_1) Entering MASTER STATE", Origin: director.Origin{Instance: in}})
	n.Tell(director.Event{Kind: director.KindVRRPGroup, State: "MASTER", Instance: "VG", Time: at, Origin: director.Origin{Group: group}})
	n.Tell(event("DOWN", nil, nil))
	for name, want := range map[string]string{
		"all": "INSTANCE \"VI_1\" MASTER 150\nGROUP \"VG\" MASTER 0\nRS [198.51.100.11]:tcp:80 [192.0.2.1]:tcp:80 DOWN\n", "vrrp": "INSTANCE \"VI_1\" MASTER 150\nGROUP \"VG\" MASTER 0\n",
		"lvs": "RS [198.51.100.11]:tcp:80 [192.0.2.1]:tcp:80 DOWN\n",
	} {
		pipe, err := os.Open(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		defer pipe.Close()
		lines := bufio.NewReader(pipe)
		var got strings.Builder
		for range strings.Count(want, "\n") {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString(line)
		}
		if diff := cmp.Diff(want, got.String()); diff != "" {
			t.Errorf("pipe %s (-want +got):\n%s", name, diff)
		}
	}
	n.Close(10 * time.Second)
	ran, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("master \nany INSTANCE VI_1 MASTER 150\ngroup GROUP VG MASTER 0\n", string(ran)); diff != "" {
		t.Errorf("programs (-want +got):\n%s", diff)
	}
	if len(messages) != 1 {
		t.Fatalf("%d mails, want 1", len(messages))
	}
	if mail := <-messages; !strings.Contains(mail, "VRRP Instance VI_1 - Entering MASTER state\r\n") {
		t.Errorf("the mail says:\n%s", mail)
	}
}
