package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/lab"
)

// upgradeKills is how many upgrades are killed in each mode, if the machine is quick enough.
const upgradeKills = 15

// upgradeStorm bounds the time for it.
const upgradeStorm = 20 * time.Second

// TestUpgrade upgrades under load, and kills upgrades at random moments: no connection, no datagram and no
// count is lost. It runs alone, as TestKill does.
func TestUpgrade(t *testing.T) {
	for _, row := range []struct {
		mode   lab.Mode
		family lab.Family
	}{{lab.DR, lab.V4}, {lab.NAT, lab.V6}} {
		t.Run(fmt.Sprintf("%s %s", row.mode, row.family), func(t *testing.T) {
			c := newCluster(t, lab.Config{Mode: row.mode, Family: row.family})
			c.balance(row.family, lab.Servers...)
			c.balanceEcho(row.family, lab.Servers...)
			c.ipvsadm("--set 900 120 3")
			before := c.saved()
			check(t, "upgrade to this version", outcome{Stdout: "The data path is already this version.\n"},
				c.typed(root, "drover datapath upgrade"))

			sessions := c.openAll(row.family, 20)
			held, release := context.WithCancel(t.Context())
			lost := make(chan error, 1)
			go func() { lost <- hold(held, sessions) }()
			echoes := c.startEchoes(row.family)
			ports := newPortSet(sessions)
			load := c.startLoopOf(row.family, ports.of(c, patient))

			life := c.upgradeByForce(2)
			killed := 0
			for begin, i := time.Now(), 0; i < upgradeKills && time.Since(begin) < upgradeStorm; i++ {
				if c.killAtRandom("drover datapath upgrade --force", life) {
					killed++
				}
				check(t, "services after a kill", before, c.saved())
			}
			if killed < 3 {
				t.Errorf("%d upgrades were killed", killed)
			}
			c.upgradeByForce(1)
			if !c.status().ThisVersion {
				t.Error("another version's programs run")
			}

			loop := load.end()
			loop.within(t, 0)
			sent, err := echoes.end()
			if err != nil {
				t.Errorf("datagrams: %v", err)
			}
			release()
			if err := <-lost; err != nil {
				t.Errorf("long-lived connections: %v", err)
			}
			connections := loop.requests + len(sessions)
			if row.mode == lab.DR { // the client's half alone is seen: a port used again goes on where it was
				connections = ports.count()
			}
			c.wantCounted("-t "+c.vip(row.family, httpPort), 0, connections)
			c.wantCounted("-u "+c.vip(row.family, echoPort), 1, sent)
			took := eventually(t, 30*time.Second, func() string { return c.datagramConnections() })
			t.Logf("%d upgrades killed in up to %v each; %s; %d datagrams; their connections expired %v after the last",
				killed, life.Round(time.Millisecond), loop, sent, took.Round(time.Millisecond))
		})
	}
}

// portSet has the ports that a client's connections began at.
type portSet struct {
	mu    sync.Mutex // protects ports
	ports map[string]bool
}

func newPortSet(sessions []*session) *portSet {
	p := &portSet{ports: map[string]bool{}}
	for _, s := range sessions {
		p.ports[s.conn.LocalAddr().String()] = true
	}
	return p
}

// of gives a client whose ports are noted.
func (p *portSet) of(c *cluster, timeout time.Duration) *http.Client {
	client := c.client(timeout)
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := c.dial(ctx, network, address)
		if err == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ports[conn.LocalAddr().String()] = true
		}
		return conn, err
	}
	return client
}

func (p *portSet) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ports)
}

// upgradeByForce upgrades n times and gives the time that the last took.
func (c *cluster) upgradeByForce(n int) (took time.Duration) {
	c.t.Helper()
	for range n {
		begin := time.Now()
		got := c.typed(root, "drover datapath upgrade --force")
		took = time.Since(begin)
		if got.Status != 0 || got.Stderr != "" || !strings.HasPrefix(got.Stdout, "The data path is upgraded.\n") {
			c.t.Errorf("upgrade: %+v", got)
		}
	}
	return took
}

// balanceEcho makes a UDP service on the echo port, with servers.
func (c *cluster) balanceEcho(f lab.Family, servers ...string) {
	c.t.Helper()
	service := "-u " + c.vip(f, echoPort)
	c.ipvsadm("-A -s rr " + service)
	for _, rs := range servers {
		c.ipvsadm("-a " + service + " -r " + c.rip(rs, f, echoPort) + " " + c.how())
	}
}

// wantCounted waits until a column of ipvsadm --stats (0: Conns, 1: InPkts) of a service is n: the
// listing may be two seconds old.
func (c *cluster) wantCounted(service string, column, n int) {
	c.t.Helper()
	eventually(c.t, 10*time.Second, func() string {
		for line := range strings.Lines(c.ipvsadm("-Ln --stats --exact " + service)) {
			fields := strings.Fields(line)
			if len(fields) < 5 || fields[0] != "TCP" && fields[0] != "UDP" {
				continue
			}
			if fields[2+column] == fmt.Sprint(n) {
				return ""
			}
			return fmt.Sprintf("%s: want %d in column %d", strings.TrimSpace(line), n, column)
		}
		return "no such service: " + service
	})
}

// datagramConnections complains about connections of UDP that are left.
func (c *cluster) datagramConnections() string {
	var left []string
	for _, line := range c.connections() {
		if strings.HasPrefix(line, "UDP") {
			left = append(left, line)
		}
	}
	if len(left) == 0 {
		return ""
	}
	return fmt.Sprintf("%d connections of UDP are left, first %s", len(left), left[0])
}

// echoLoop sends datagrams one after another, each from a socket of its own.
type echoLoop struct {
	stop  context.CancelFunc
	sent  atomic.Int64
	ended chan error
}

// startEchoes begins one, which ends with end, or with the test.
func (c *cluster) startEchoes(f lab.Family) *echoLoop {
	ctx, stop := context.WithCancel(c.t.Context())
	l := &echoLoop{stop: stop, ended: make(chan error, 1)}
	go func() {
		var lost []error
		for ctx.Err() == nil {
			n := l.sent.Add(1)
			answer, err := c.echo(f, "hello")
			if err == nil && !strings.HasSuffix(answer, "hello") {
				err = fmt.Errorf("answer %q", answer)
			}
			if err != nil {
				lost = append(lost, fmt.Errorf("datagram %d: %w", n, err))
			}
			select {
			case <-ctx.Done():
			case <-time.After(loopInterval):
			}
		}
		l.ended <- errors.Join(lost...)
	}()
	c.t.Cleanup(stop)
	return l
}

// end stops it and gives how many were sent, and what became of those without an answer.
func (l *echoLoop) end() (sent int, err error) {
	l.stop()
	err = <-l.ended
	return int(l.sent.Load()), err
}
