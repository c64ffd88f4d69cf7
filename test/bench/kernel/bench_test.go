//go:build bench

package kernel

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"drover/test/bench/rounds"
)

const (
	trafficRounds = 5
	hotFrames     = 60_000
	hotFlows      = 20_000
	freshFlows    = 30_000
	tolerable     = 0.01 // share of frames lost in a round

	alone = "alone" // the device without a director behind it
)

// A trafficCase is one row: frames of so many flows through both directors.
type trafficCase struct {
	name  string
	mode  mode
	flows int
	fresh bool    // every frame is a connection's first
	reach float64 // times ip_vs that is asked for; 0: none
}

var trafficCases = []trafficCase{
	{name: "DR, 1 flow", mode: dr, flows: 1},
	{name: "DR, 20,000 flows", mode: dr, flows: hotFlows, reach: 5},
	{name: "DR, new connections", mode: dr, flows: freshFlows, fresh: true, reach: 3},
	{name: "NAT, 1 flow", mode: nat, flows: 1},
	{name: "NAT, 20,000 flows", mode: nat, flows: hotFlows, reach: 4},
	{name: "NAT, new connections", mode: nat, flows: freshFlows, fresh: true, reach: 3},
	{name: "TUN, 1 flow", mode: tun, flows: 1},
	{name: "TUN, 20,000 flows", mode: tun, flows: hotFlows},
}

// A bench has the directors and what it has found out.
type bench struct {
	*wire
	rounds.Options
	directors []*director // ip_vs, Drover
	refused   map[mode]error
	table     rounds.Table
}

// TestBench prints what ip_vs and Drover do in the same time. It fails on nothing but an error: speed is
// for people to judge.
func TestBench(t *testing.T) {
	options, err := rounds.FromEnvironment(trafficRounds)
	must(t, err)
	begin := time.Now()
	b := &bench{wire: newWire(t), Options: options, refused: map[mode]error{}}
	b.directors = directors(t)
	b.attach(b.objects.PassFrame, b.directors[0].namespace(), "front")
	for _, d := range b.directors {
		b.count(d.name)
	}
	ip(t, "link add %s netns %s type veth peer name %s netns %s", alone, clientsSide, alone, serversSide)
	ip(t, "-n %s link set %s up", clientsSide, alone)
	ip(t, "-n %s link set %s up", serversSide, alone)
	b.count(alone)
	t.Logf("the directors are up after %.0f s", time.Since(begin).Seconds())
	b.traffic()
	b.rules()
}

// traffic prints frames per second.
func (b *bench) traffic() {
	b.table = rounds.Table{
		Title:   "The same frames through ip_vs and through Drover, frames per second: median (least .. most)",
		Columns: []string{"case", "no director", "ip_vs", "Drover", "times as fast", "reach", "lost: ip_vs", "Drover"},
	}
	b.balance()
	for _, c := range trafficCases {
		if b.Chosen(c.name) && b.refused[c.mode] == nil {
			c.flows = b.Scale(c.flows)
			b.measure(c)
		}
	}
	b.table.Note("%d rounds a case, in turn. One CPU of an emulated machine (QEMU, no KVM) makes the frames, forwards and", b.Rounds)
	b.table.Note("counts them. Without a director they go straight to the counter: the ratio is lowered by what that costs.")
	must(b.t, b.table.Print(os.Stdout))
}

// directors makes both: Drover with its data path attached, and ip_vs.
func directors(t *testing.T) []*director {
	t.Helper()
	kernel := newDirector(t, "ipvs", "ipvsadm")
	program := os.Getenv("DROVER")
	drover := newDirector(t, "drover", program, "ipvsadm")
	drover.run(nil, program, "datapath", "load", "-i", "front", "-i", "back")
	t.Cleanup(func() { drover.run(nil, program, "datapath", "unload") })
	return []*director{kernel, drover}
}

// balance makes the services. A mode that a director refuses is left out, aloud.
func (b *bench) balance() {
	for _, m := range []mode{dr, nat, tun} {
		for _, d := range b.directors {
			if err := d.balance(m); err != nil && b.refused[m] == nil {
				b.refused[m] = err
				b.table.Note("left out, as %s refuses ipvsadm's %s: %v", d.name, m.option, err)
			}
		}
	}
}

// measure runs all rounds of a case, the directors in turn, and adds its row.
func (b *bench) measure(c trafficCase) {
	var none rounds.Values
	speed, lost := make([]rounds.Values, len(b.directors)), make([]rounds.Values, len(b.directors))
	for _, d := range b.directors {
		b.readyFor(c, d)
	}
	for round := range b.Rounds {
		for i, d := range b.directors {
			v := b.round(c, d)
			if v.lost() > tolerable {
				b.table.Note("%s, %s, round %d: %d of %d frames were lost", c.name, d.name, round+1, v.made-v.arrived, v.made)
			}
			speed[i], lost[i] = append(speed[i], v.perSecond()), append(lost[i], v.lost())
		}
		straight := b.send(alone, flowsTo(frontMAC, dr.vip, c.flows, flagACK), b.Scale(hotFrames), dr.arrives)
		none = append(none, straight.perSecond())
	}
	for _, d := range b.directors {
		b.forget(c, d)
	}
	b.row(c, none, speed, lost)
}

// row adds a case's row. Speeds and losses are those of ip_vs and of Drover.
func (b *bench) row(c trafficCase, none rounds.Values, speed, lost []rounds.Values) {
	ratio, reach := speed[1].Over(speed[0]), ""
	if c.reach > 0 {
		reach = fmt.Sprintf(">= %.0f", c.reach)
	}
	percent := func(v rounds.Values) string { return fmt.Sprintf("%.2f %%", 100*v.Median()) }
	b.table.Row(map[string]any{
		"case": c.name, "none_per_second": none, "ipvs_per_second": speed[0], "drover_per_second": speed[1],
		"ratio": ratio, "reach": c.reach, "ipvs_lost": lost[0], "drover_lost": lost[1],
	}, c.name, none.Text(0), speed[0].Text(0), speed[1].Text(0), ratio.Text(1), reach, percent(lost[0]), percent(lost[1]))
}

// round sends one volley. Connections that are to be new are forgotten first.
func (b *bench) round(c trafficCase, d *director) volley {
	b.t.Helper()
	flags, frames := byte(flagACK), b.Scale(hotFrames)
	if c.fresh {
		b.forget(c, d)
		flags, frames = flagSYN, c.flows
	}
	return b.volley(c, d, flags, frames)
}

func (b *bench) volley(c trafficCase, d *director, flags byte, frames int) volley {
	b.t.Helper()
	v := b.send(d.name, flowsTo(frontMAC, c.mode.vip, c.flows, flags), frames, c.mode.arrives)
	if v.arrived == 0 {
		b.t.Fatalf("%s, %s: of %d frames none arrived", c.name, d.name, v.made)
	}
	return v
}

// readyFor sets the timeouts, in seconds, and unless they are to be new establishes the connections.
func (b *bench) readyFor(c trafficCase, d *director) {
	b.t.Helper()
	if c.fresh {
		d.admin(nil, "--set", "1", "120", "300")
		return
	}
	d.admin(nil, "--set", "900", "120", "300")
	b.volley(c, d, flagSYN, c.flows)
	b.volley(c, d, flagACK, c.flows)
}

// forget ends a case's connections: each gets a packet that makes it an established one, with a timeout
// of a second, and runs out.
func (b *bench) forget(c trafficCase, d *director) {
	b.t.Helper()
	d.admin(nil, "--set", "1", "120", "300")
	for range 5 {
		if connections(b.t, d) == 0 {
			return
		}
		b.send(d.name, flowsTo(frontMAC, c.mode.vip, c.flows, flagACK), c.flows, c.mode.arrives)
		for deadline := time.Now().Add(8 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			if connections(b.t, d) == 0 {
				return
			}
		}
	}
	b.t.Fatalf("%s, %s: %d connections do not end", c.name, d.name, connections(b.t, d))
}

// connections is the number that a director has, by its listing: the last two columns of the servers.
func connections(t *testing.T, d *director) (n int) {
	t.Helper()
	for line := range strings.Lines(string(d.admin(nil, "-L", "-n"))) {
		if fields := strings.Fields(line); len(fields) == 6 && fields[0] == "->" && fields[1] != "RemoteAddress:Port" {
			var active, inactive int
			if _, err := fmt.Sscan(fields[4]+" "+fields[5], &active, &inactive); err != nil {
				t.Fatalf("ipvsadm -L -n: %q: %v", line, err)
			}
			n += active + inactive
		}
	}
	return n
}
