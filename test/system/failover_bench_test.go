//go:build bench

package system

import (
	"fmt"
	"net"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"drover/internal/namespace"
)

// A heardAdvert is an advert that went over the segment.
type heardAdvert struct {
	at       time.Time
	from     byte // the last byte of its source
	priority byte
}

// listen hands on the adverts of the segment until the test ends.
func (d *duo) listen() <-chan heardAdvert {
	d.t.Helper()
	all := make(chan heardAdvert, 10_000)
	var conn *packet.Conn
	err := namespace.OnOwnThread(func() error {
		ns, err := netns.GetFromName(d.node("segment"))
		if err != nil {
			return err
		}
		defer ns.Close()
		if err := netns.Set(ns); err != nil {
			return err
		}
		bridge, err := net.InterfaceByName("br0")
		if err != nil {
			return err
		}
		conn, err = packet.Listen(bridge, packet.Raw, unix.ETH_P_IP, nil)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	go func() {
		frame := make([]byte, 2048)
		for {
			n, _, err := conn.ReadFrom(frame)
			if err != nil {
				return
			}
			if n > 14+20+8 && frame[14+9] == 112 {
				all <- heardAdvert{time.Now(), frame[14+15], frame[14+20+2]}
			}
		}
	}()
	return all
}

// TestBenchFailover measures how long nobody is MASTER: from the last advert of the one that ends to the first of the other, beside
// keepalived's in the same run.
func TestBenchFailover(t *testing.T) {
	for _, advert := range []struct {
		interval float64
		rounds   int
	}{{1, 5}, {0.1, 10}, {0.01, 10}} {
		for _, how := range []string{"kill -9", "TERM", "cable pulled", "interface down"} {
			for _, who := range []string{"keepalived", "drover"} {
				t.Run(fmt.Sprintf("%v %s %s", advert.interval, how, who), func(t *testing.T) {
					failover(t, who, how, advert.interval, advert.rounds)
				})
			}
		}
	}
}

func failover(t *testing.T, who, how string, interval float64, rounds int) {
	d := newDuo(t)
	adverts := d.listen()
	more := fmt.Sprintf("version 3\n advert_int %v\n virtual_ipaddress {\n 192.0.2.100/32\n }", interval)
	d.start(low, who, more, 100)
	var took, since []float64 // from the last advert, from what was done
	for round := range rounds {
		if d.runs[high] == nil {
			d.start(high, who, more, 150)
		}
		settled := time.Duration(max(interval*6, 1.5) * float64(time.Second))
		begin, last := time.Now(), time.Time{}
		for other := begin; time.Since(other) < settled; { // until the higher alone has sent for a while
			select {
			case a := <-adverts:
				if last = a.at; a.from == 2 {
					other = a.at
				}
			case <-time.After(20 * time.Second):
				t.Fatal("nobody sends adverts")
			}
			if time.Since(begin) > time.Minute {
				t.Fatal("the higher does not become MASTER")
			}
		}
		time.Sleep(time.Duration(interval * float64(time.Second) * float64(round) / float64(rounds))) // at another moment each time
		done := time.Now()
		undo := d.fail(how)
		var first time.Time
		for first.IsZero() {
			select {
			case a := <-adverts:
				if a.from == 1 {
					last = a.at
				} else {
					first = a.at
				}
			case <-time.After(20 * time.Second):
				t.Fatal("nobody takes over")
			}
		}
		took = append(took, float64(first.Sub(last).Microseconds())/1000)
		since = append(since, float64(first.Sub(done).Microseconds())/1000)
		undo()
	}
	fmt.Printf("advert %v s, %s, %s, n=%d: from the last advert %s; from what was done %s\n", interval, how, who, len(took), spread(took), spread(since))
}

func spread(took []float64) string {
	slices.Sort(took)
	median := (took[len(took)/2] + took[(len(took)-1)/2]) / 2
	return fmt.Sprintf("%.1f ms (%.1f to %.1f)", median, took[0], took[len(took)-1])
}

// fail takes the higher host's virtual router away, and gives what brings it back.
func (d *duo) fail(how string) (undo func()) {
	link := func(node, device, state string) {
		if out, err := exec.Command("ip", "-n", d.node(node), "link", "set", device, state).CombinedOutput(); err != nil {
			d.t.Fatalf("%v: %s", err, out)
		}
	}
	switch how {
	case "kill -9":
		d.end(high, unix.SIGKILL)
	case "TERM":
		d.end(high, unix.SIGTERM)
	case "cable pulled":
		link("segment", "to-"+high, "down")
		return func() { link("segment", "to-"+high, "up") }
	case "interface down":
		link(high, "eth0", "down")
		return func() {
			link(high, "eth0", "up")
			_ = exec.Command("ip", "-n", d.node(high), "address", "add", "fe80::1/64", "dev", "eth0", "nodad").Run()
		}
	}
	return func() {}
}
