package realserver

import (
	"bytes"
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

const mutatedFrames = 100_000

var frameSeed = flag.Uint64("frame-seed", 0, "seed of TestMutatedFrames; 0: another one each time")

// TestMutatedFrames: whatever arrives is passed as it is, decapsulated or dropped, and counted once under
// what was done with it. Nothing aborts, and no frame finds a defect of ours.
func TestMutatedFrames(t *testing.T) {
	seed := *frameSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("go test -run %s -frame-seed %d", t.Name(), seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t)
	var corpus [][]byte
	for _, w := range tunnels {
		for _, out := range families {
			for _, in := range families {
				for _, payload := range []int{0, 30, 400} {
					corpus = append(corpus, w.wrap(t, out, in, uint8(random.IntN(256)), inner(t, in, in.vip, 1, payload)))
				}
			}
		}
	}
	got := map[string]uint64{}
	for range mutatedFrames {
		in := mutate(random, corpus)
		verdict, out := r.run(in)
		got[judge(t, verdict, in, out)]++
	}
	want := map[string]uint64{}
	for _, c := range must(t)(readCounters(&r.objects.serverMaps)) {
		want[c.Verdict] += c.Value
		if c.Name == "internal" && c.Value > 0 {
			t.Errorf("%d frames found a defect", c.Value)
		}
	}
	check(t, "frames by verdict", want, got)
	if got["decap"] == 0 || got["drop"] == 0 || got["pass"] == 0 {
		t.Errorf("the frames show too little: %v", got)
	}
	t.Log(r.counted())
}

func judge(t *testing.T, verdict uint32, in, out []byte) string {
	t.Helper()
	switch {
	case verdict == xdpDrop:
		return "drop"
	case verdict == xdpPass && bytes.Equal(in, out):
		return "pass"
	case verdict == xdpPass && len(out) < len(in):
		return "decap"
	}
	t.Fatalf("verdict %d for\n%s\n%s", verdict, hex.Dump(in), hex.Dump(out))
	return ""
}

func must(t *testing.T) func([]Counter, error) []Counter {
	return func(all []Counter, err error) []Counter {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
}

// mutate makes a frame that is almost valid.
func mutate(random *rand.Rand, corpus [][]byte) []byte {
	out := bytes.Clone(corpus[random.IntN(len(corpus))])
	for range random.IntN(4) {
		switch random.IntN(5) {
		case 0: // a bit
			out[random.IntN(len(out))] ^= 1 << random.IntN(8)
		case 1: // a byte of the headers
			out[random.IntN(min(len(out), 100))] = byte(random.Uint32())
		case 2: // an extreme byte
			out[random.IntN(min(len(out), 100))] = []byte{0, 1, 0x7f, 0x80, 0xff}[random.IntN(5)]
		case 3: // cut
			out = out[:14+random.IntN(len(out)-13)]
		case 4: // longer
			out = append(out, make([]byte, random.IntN(100))...)
		}
	}
	return out
}
