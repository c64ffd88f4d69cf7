package datapath

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recordedTunnels gives what ip_vs of Linux 6.1 did, step by step, for each pool: testdata/tunnel/record.sh.
func recordedTunnels(t *testing.T) map[string][]tunnelStep {
	t.Helper()
	file, err := os.Open("testdata/tunnel/ip_vs-6.1.txt.gz")
	must(t, err)
	defer file.Close()
	text, err := gzip.NewReader(file)
	must(t, err)
	pools, pool := map[string][]tunnelStep{}, ""
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		steps := pools[pool]
		switch word {
		case "pool":
			pool = rest
		case "step":
			pools[pool] = append(steps, tunnelStep{name: rest})
		case "in":
			steps[len(steps)-1].in = parseWireFrame(t, rest)
		case "out":
			last := &steps[len(steps)-1]
			last.out = append(last.out, parseWireFrame(t, rest))
		default:
			t.Fatalf("recording: %q", lines.Text())
		}
	}
	must(t, lines.Err())
	return pools
}

func parseWireFrame(t *testing.T, text string) wireFrame {
	t.Helper()
	port, digits, _ := strings.Cut(text, " ")
	frame, err := hex.DecodeString(digits)
	must(t, err)
	return wireFrame{port, frame}
}

// newTunnelScene is a scene with the pools, which take their sources from the kernel.
func newTunnelScene(t *testing.T) *rig {
	t.Helper()
	r := newScene(t)
	r.table.hosts = newKernelNetwork()
	for _, p := range tunnelPools() {
		for _, protocol := range protocols {
			r.addService(p.inner.service(protocol, p.port), p.server)
		}
	}
	return r
}

// tunnelDifferences are the steps in which Drover does not do what ip_vs did, and what it does: "sent" by the
// tunnel, "answered" with an error to the client, or "dropped".
func tunnelDifference(p tunnelPool, step tunnelStep) (does string, differs bool) {
	name := step.name
	switch {
	// XDP does not fragment: the client is told, as pmtu_disc=1 does with DF.
	case strings.Contains(name, "1 beyond the MTU, may be fragmented"):
		return "answered", true
	// ip_vs puts fragments together first; here each is sent on in its own tunnel packet.
	case strings.Contains(name, "fragment 1"), strings.Contains(name, "fragment 2"), strings.Contains(name, "fragment 3"):
		return "sent", true
	// ip_vs knows no parameter problem of IPv4.
	case strings.Contains(name, "from outside: parameter problem") && p.inner.name == "IPv4":
		return "sent", true
	// ip_vs relays errors of IPv4 about IPv4 alone; and tells of the MTU those who set DF, at first too much.
	case strings.Contains(name, "about the tunnel") && strings.HasSuffix(name, "120 bytes quoted") &&
		!strings.Contains(name, "parameter problem") &&
		(p.inner.name == "IPv6" || p.outer.name == "IPv6" || strings.Contains(name, "fragmentation needed")):
		return "answered", true
	// ip_vs notes no path MTU that it does not relay.
	case name == "1 beyond the path MTU of 1400":
		return "answered", true
	// ip_vs sends nothing at all into a tunnel over IPv6 that 1280 bytes do not fit in.
	case p.outer.name == "IPv6" && strings.HasSuffix(name, "MTU of 1290"):
		if strings.HasPrefix(name, "1 ") {
			return "answered", true
		}
		return "sent", true
	}
	return "", false
}

// TestTunnelsAsRecorded gives Drover the frames that ip_vs got.
func TestTunnelsAsRecorded(t *testing.T) {
	r := newTunnelScene(t)
	recorded := recordedTunnels(t)
	for _, p := range tunnelPools() {
		r.subtest(t, p.name, func(t *testing.T) {
			if len(recorded[p.name]) == 0 {
				t.Fatal("nothing is recorded")
			}
			for _, step := range recorded[p.name] {
				r.tunnelStep(t, p, step)
			}
		})
	}
	if n := r.outcomes()["drop internal"]; n != 0 {
		t.Errorf("%d frames found a defect", n)
	}
}

func (r *rig) tunnelStep(t *testing.T, p tunnelPool, step tunnelStep) {
	t.Helper()
	port := map[string]int{frontName: r.front, backName: r.back}[step.in.port]
	if strings.HasSuffix(step.name, fmt.Sprintf("MTU of %d", narrowMTU)) {
		p.narrow(t)
	}
	r.turn(250) // so that routes and path MTUs are looked at again
	verdict, out := r.receive(port, step.in.bytes)
	if verdict == xdpPass && !bytes.Equal(out, step.in.bytes) {
		t.Errorf("%s: passed, but changed", step.name)
	}
	if does, differs := tunnelDifference(p, step); differs {
		got := didWith(verdict, out)
		if got != does {
			t.Errorf("%s: %s, want %s (outcomes %v)", step.name, got, does, r.outcomes())
		}
		if got == "sent" {
			maskTunnel(t, out) // for its checksums
		}
		return
	}
	if len(step.out) == 0 {
		if verdict == xdpRedirect {
			t.Errorf("%s: sent, but ip_vs sent nothing:\n%x", step.name, out)
		}
		return
	}
	if len(step.out) != 1 || verdict != xdpRedirect {
		t.Errorf("%s: verdict %d, but ip_vs sent %d frames (outcomes %v)", step.name, verdict, len(step.out), r.outcomes())
		return
	}
	want := step.out[0]
	if want.port == frontName {
		sameError(t, step.name, want.bytes, out)
		return
	}
	sameBytes(t, step.name, maskTunnel(t, want.bytes), maskTunnel(t, out))
}

// sameBytes compares two frames, and shows their first bytes if they differ.
func sameBytes(t *testing.T, name string, want, got []byte) {
	t.Helper()
	const shown = 96
	if !bytes.Equal(want, got) {
		t.Errorf("%s: %d bytes, want %d\n%swant\n%s", name, len(got), len(want),
			hex.Dump(got[:min(len(got), shown)]), hex.Dump(want[:min(len(want), shown)]))
	}
}

// didWith tells what was done with a frame, by where it goes.
func didWith(verdict uint32, out []byte) string {
	switch {
	case verdict == xdpPass:
		return "passed"
	case verdict != xdpRedirect:
		return "dropped"
	case bytes.HasPrefix(out, routerMAC):
		return "answered"
	}
	return "sent"
}

// maskTunnel cuts a tunnel's frame to its length and clears what may be any: IPv4's identification where it
// may be fragmented, and GUE's source port. Their checksums are checked before.
func maskTunnel(t testing.TB, frame []byte) []byte {
	t.Helper()
	frame = bytes.Clone(frame)
	ip := frame[14:]
	var pseudo, transport []byte
	var protocol byte
	if ip[0]>>4 == 4 {
		ip = ip[:binary.BigEndian.Uint16(ip[2:])]
		if sum := onesSum(ip[:20]); sum != 0xffff {
			t.Errorf("checksum of the outer header: %#x", sum)
		}
		if ip[6]&0x40 == 0 {
			clear(ip[4:6])
		}
		clear(ip[10:12])
		pseudo, protocol, transport = ip[12:20], ip[9], ip[20:]
	} else {
		ip = ip[:40+int(binary.BigEndian.Uint16(ip[4:]))]
		pseudo, protocol, transport = ip[8:40], ip[6], ip[40:]
	}
	switch {
	case protocol == 17 && binary.BigEndian.Uint16(transport[6:]) != 0:
		length := make([]byte, 4)
		binary.BigEndian.PutUint16(length, uint16(len(transport)))
		length[3] = 17
		if sum := onesSum(bytes.Join([][]byte{pseudo, length, transport}, nil)); sum != 0xffff {
			t.Errorf("checksum of GUE: %#x", sum)
		}
		transport[6], transport[7] = 1, 1
		fallthrough
	case protocol == 17:
		if from := binary.BigEndian.Uint16(transport); from < 32768 {
			t.Errorf("source port %d of GUE", from)
		}
		clear(transport[:2])
	case protocol == 47 && transport[0]&0x80 != 0:
		if sum := onesSum(transport); sum != 0xffff {
			t.Errorf("checksum of GRE: %#x", sum)
		}
	}
	return frame[:14+len(ip)]
}

// sameError compares the ICMP errors of ip_vs and Drover: MACs, addresses, type, code, MTU, and the beginning
// of the quote. The kernel quotes more, and has another TOS, flow label and identification.
func sameError(t *testing.T, name string, want, got []byte) {
	t.Helper()
	if diff := cmp.Diff(errorWords(want), errorWords(got)); diff != "" {
		t.Errorf("%s: error (-ip_vs +drover):\n%s", name, diff)
	}
	if len(want) < len(got) {
		t.Fatalf("%s: %d bytes, more than ip_vs sends", name, len(got))
	}
	sameBytes(t, name+": quote", quoteIn(want[:len(got)]), quoteIn(got))
}

// quoteIn gives what an ICMP error quotes, without the hops and the checksum of its IP header: ip_vs has
// counted the hop already when it finds the packet too large.
func quoteIn(frame []byte) []byte {
	if frame[14]>>4 == 6 {
		quote := bytes.Clone(frame[14+40+8:])
		quote[7] = 0
		return quote
	}
	quote := bytes.Clone(frame[14+20+8:])
	quote[8], quote[10], quote[11] = 0, 0, 0
	return quote
}

// errorWords gives the parts of an ICMP error that must be equal.
func errorWords(frame []byte) []string {
	at, addresses := 14+20, frame[14+12:14+20]
	if frame[14]>>4 == 6 {
		at, addresses = 14+40, frame[14+8:14+40]
	}
	icmp := frame[at:]
	return []string{
		hex.EncodeToString(frame[:14]), hex.EncodeToString(addresses), hex.EncodeToString(icmp[:2]),
		hex.EncodeToString(icmp[4:8]),
	}
}

// tunnelCorpus has the recorded frames that are not too large to be mutated: of each pool what clients send,
// and errors from outside and about the tunnel.
func tunnelCorpus(t *testing.T) [][]byte {
	t.Helper()
	var all [][]byte
	recorded := recordedTunnels(t)
	for _, p := range tunnelPools() {
		for _, step := range recorded[p.name] {
			if len(step.in.bytes) < mutatedLength/2 && !strings.Contains(step.name, "connection") {
				all = append(all, step.in.bytes)
			}
		}
	}
	return all
}
