package datapath

import (
	"bytes"
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

const (
	mutatedFrames = 1_000_000
	unknownPort   = 83 // of a service whose server nobody has heard of
)

var frameSeed = flag.Uint64("frame-seed", 0, "seed of TestMutatedFrames; 0: another one each time")

// corpus has a frame of every kind that the other tests send.
func corpus(t *testing.T) [][]byte {
	t.Helper()
	var all [][]byte
	for _, f := range families {
		for _, row := range slices.Concat(f.otherFrames(t), f.familyFrames(t), f.malformedFrames(t)) {
			all = append(all, row.frame)
		}
		for _, p := range protocols {
			for _, port := range []uint16{routePort, masqPort, emptyPort, drainedPort, unknownPort} {
				syn, ack, last := f.request(p, port), f.request(p, port), f.request(p, port)
				ack.flags, last.hops = "A", 1
				all = append(all, syn.frame(t), ack.frame(t), last.frame(t))
			}
			in, reply := f.datagram(p, masqPort), f.reply(p)
			all = append(all, reply.frame(t))
			all = append(all, in.fragments(t, cuts...)...)
			reply.payload = in.payload
			all = append(all, reply.fragments(t, cuts...)...)
			for _, e := range f.errors() {
				e.source, e.destination, e.from, e.to, e.hops = routerMAC, frontMAC, f.router, f.vip, 9
				e.quote = f.quoteOf(t, f.toClient(f.reply(p)), 8)
				all = append(all, e.frame(t))
				e.source, e.destination, e.from, e.to = serverMAC(2), backMAC, f.server, f.client
				e.quote = f.quoteOf(t, f.toServer(f.request(p, masqPort), lvs.Masquerade), 40)
				all = append(all, e.frame(t))
			}
		}
	}
	return all
}

// A mutator makes frames that are almost valid.
type mutator struct {
	*rand.Rand
	corpus [][]byte
}

const mutatedLength = 600 // at most

func (m mutator) pick() []byte { return m.corpus[m.IntN(len(m.corpus))] }

// frame mutates one into the buffer, a few times over.
func (m mutator) frame(buffer []byte) []byte {
	out := append(buffer[:0], m.pick()...)
	for range m.IntN(4) {
		out = m.mutate(out)
	}
	return append(out, make([]byte, max(0, ethernetHeader-len(out)))...) // the kernel takes no less
}

const ethernetHeader = 14

func (m mutator) mutate(out []byte) []byte {
	switch m.IntN(6) {
	case 0: // a bit
		out[m.IntN(len(out))] ^= 1 << m.IntN(8)
	case 1: // a byte of the headers
		out[m.IntN(min(len(out), 74))] = byte(m.Uint32())
	case 2: // an extreme byte
		out[m.IntN(len(out))] = []byte{0, 1, 0x7f, 0x80, 0xff}[m.IntN(5)]
	case 3: // cut
		out = out[:1+m.IntN(len(out))]
	case 4: // longer
		out = append(out, make([]byte, m.IntN(mutatedLength-len(out)+1))...)
	case 5: // spliced
		tail := m.pick()
		at := m.IntN(min(len(out), len(tail)))
		out = append(out[:at], tail[at:]...)
	}
	return out
}

// TestMutatedFrames: whatever arrives is passed as it is, sent or dropped, and counted once under what
// was done with it. Nothing aborts, and no frame finds a defect of ours.
func TestMutatedFrames(t *testing.T) {
	r := newTunnelScene(t)
	seed := *frameSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("go test -run %s -frame-seed %d", t.Name(), seed)
	for _, f := range families {
		for _, p := range protocols {
			unknown := f.destination(unknownPort, lvs.DirectRoute, 1)
			unknown.Addr = netip.AddrPortFrom(f.backRouter.Next(), unknownPort)
			r.addService(f.service(p, unknownPort), unknown)
		}
	}
	m := mutator{rand.New(rand.NewPCG(seed, 0)), slices.Concat(corpus(t), tunnelCorpus(t))}
	for _, valid := range m.corpus { // the connections that others are about
		r.receive(r.front, valid)
	}
	before := r.verdicts()
	got := map[string]uint64{}
	in, out := make([]byte, 0, mutatedLength), make([]byte, mutatedLength+512)
	for i := range mutatedFrames {
		if i%1000 == 0 {
			r.turn(150) // connections expire meanwhile, and next hops are asked for again
		}
		frame := m.frame(in)
		port := r.front
		if bytes.HasPrefix(frame, backMAC) != (m.IntN(16) == 0) {
			port = r.back
		}
		got[r.verdictOf(frame, port, out)]++
	}
	want := r.verdicts()
	for verdict, n := range before {
		want[verdict] -= n
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("frames by verdict (-counted +given):\n%s", diff)
	}
	if n := r.outcomes()["drop internal"]; n != 0 {
		t.Errorf("%d frames found a defect", n)
	}
	t.Log(r.outcomes())
}

// verdictOf gives what the program did with a frame: "pass", "send" or "drop".
func (r *rig) verdictOf(frame []byte, port int, buffer []byte) string {
	r.t.Helper()
	options := ebpf.RunOptions{
		Data: frame, DataOut: buffer,
		Context: xdpContext{DataEnd: uint32(len(frame)), IngressIfindex: uint32(port)},
	}
	verdict, err := r.objects.DroverXdp.Run(&options)
	check(r.t, err)
	switch verdict {
	case xdpPass:
		if !bytes.Equal(options.DataOut, frame) {
			r.t.Fatalf("passed, but changed:\n%s\n%s", hex.Dump(frame), hex.Dump(options.DataOut))
		}
		return "pass"
	case xdpTX, xdpRedirect:
		return "send"
	case xdpDrop:
		return "drop"
	}
	r.t.Fatalf("verdict %d for\n%s", verdict, hex.Dump(frame))
	return ""
}

// verdicts adds up the outcomes by what is done with the frame.
func (r *rig) verdicts() map[string]uint64 {
	r.t.Helper()
	sums := map[string]uint64{"pass": 0, "send": 0, "drop": 0}
	for name, n := range r.outcomes() {
		verdict, _, _ := strings.Cut(name, " ")
		if verdict == verdictForward || verdict == verdictAnswer {
			verdict = "send"
		}
		sums[verdict] += n
	}
	return sums
}
