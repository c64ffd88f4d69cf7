package system
import ("testing";"time";"drover/internal/lab";"os")
func TestDbg(t *testing.T) {
	c := newCluster(t, lab.Config{})
	c.stopForwarding()
	for _, f := range families { c.balance(f, "rs1") }
	switch os.Getenv("EV") {
	case "garp": announceNewMAC(t,c)
	case "flush": flushNeighbours(t,c)
	case "flap": flapLink(t,c)
	}
	loops := map[lab.Family]*loop{}
	for _, f := range families { loops[f] = c.startLoop(f) }
	b := loops[lab.V4].begin
	wait(t, 500*time.Millisecond)
	replaceRouteDbg(t, c, b)
	for _, f := range families {
		r := loops[f].end()
		t.Logf("%s: %s", f, r)
		for i, x := range r.failures { if i < 20 {t.Logf("%v", x.sent.Round(time.Millisecond)) }}
	}
	for _, n := range c.status().Counters { if n.Value>0 { t.Log(n.Verdict, n.Name, n.Value) } }
	t.Log(c.run(lab.Director, "ip neigh"))
}
