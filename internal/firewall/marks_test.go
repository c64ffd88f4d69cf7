package firewall

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"drover/internal/lvs"
)

const inName, outName = "in0", "out0"

// inNamespace runs a test in a network namespace of its own, where packets that are sent by out0 come in by in0 and are
// for the addresses of the fixtures.
func inNamespace(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	runtime.LockOSThread()
	home, err := netns.Get()
	must(t, err)
	defer home.Close()
	made, err := netns.New()
	must(t, err)
	defer func() {
		must(t, errors.Join(netns.Set(home), made.Close()))
		runtime.UnlockOSThread()
	}()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: outName}, PeerName: inName}
	must(t, netlink.LinkAdd(veth))
	for _, name := range []string{"lo", inName, outName} {
		link, err := netlink.LinkByName(name)
		must(t, err)
		must(t, netlink.LinkSetUp(link))
	}
	in, err := netlink.LinkByName(inName)
	must(t, err)
	for _, path := range []string{"all/rp_filter", inName + "/rp_filter"} {
		must(t, os.WriteFile("/proc/sys/net/ipv4/conf/"+path, []byte("0"), 0o644))
	}
	for i := range 8 {
		addr, err := netlink.ParseAddr(fmt.Sprintf("192.0.2.%d/32", 10+i))
		must(t, err)
		must(t, netlink.AddrAdd(in, addr))
	}
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: in.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: &net.IPNet{
		IP: net.IPv4(203, 0, 113, 0).To4(), Mask: net.CIDRMask(24, 32),
	}}))
	f()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMarksOfKernel: of twenty rules each is taken over or refused with its reason, and what is taken over gives a
// thousand packets the marks that the kernel gives them.
func TestMarksOfKernel(t *testing.T) {
	for _, test := range []struct {
		name, fixture string
		load          []string
		taken         []string // programs whose rules these are
		left          map[int]string
	}{
		{"iptables-legacy", "testdata/legacy.rules", []string{"iptables-legacy-restore"}, []string{"iptables-legacy"}, legacyLeft},
		{"iptables-nft", "testdata/legacy.rules", []string{"iptables-nft-restore"}, []string{"iptables-nft"}, legacyLeft},
		{"nft", "testdata/site.nft", []string{"nft", "-f", "-"}, []string{"nft"}, map[int]string{
			11: "ip ttl", 12: "!=", 14: "rule 13 may end", 16: "", 17: "rule 16 may end", 20: "not a number",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inNamespace(t, func() {
				fixture, err := os.Open(test.fixture)
				must(t, err)
				defer fixture.Close()
				load := exec.Command(test.load[0], test.load[1:]...)
				load.Stdin = fixture
				if out, err := load.CombinedOutput(); err != nil {
					t.Fatalf("%v: %v: %s", test.load, err, out)
				}
				chains, err := Read(context.Background())
				must(t, err)
				rules, left := Marks(chains)
				got := map[int]string{}
				for _, l := range left {
					if !strings.HasPrefix(l.Rule.Where, test.taken[0]+" ") {
						t.Errorf("a rule of %s", l.Rule.Where)
					}
					got[l.Rule.Number] = l.Reason
				}
				for n, want := range test.left {
					if want != "" && !strings.Contains(got[n], want) {
						t.Errorf("rule %d: %q, want a reason with %q", n, got[n], want)
					}
					delete(got, n)
				}
				if len(got) > 0 {
					t.Errorf("rules that were not taken over: %v", got)
				}
				compareMarks(t, rules, leftMatches(left))
			})
		})
	}
}

// In the input chain too the rules have numbers from 1.
var legacyLeft = map[int]string{
	12: "protocol", 13: "not -s", 14: "-m ttl", 16: "rule 15 may end", 18: "-m mark",
}

// leftMatches are the packets that rules which were not taken over may mark.
func leftMatches(left []Finding) []Match {
	var all []Match
	for _, l := range left {
		all = append(all, l.Rule.Match)
	}
	return all
}

// compareMarks sends a thousand packets, and compares the kernel's mark of each with that of the rules; what a rule
// that was not taken over may have marked is passed over.
func compareMarks(t *testing.T, rules []lvs.MarkRule, but []Match) {
	t.Helper()
	sender, err := packet.Listen(mustInterface(t, outName), packet.Raw, unix.ETH_P_IP, nil)
	must(t, err)
	defer sender.Close()
	receivers := map[lvs.Protocol]int{lvs.TCP: rawSocket(t, unix.IPPROTO_TCP), lvs.UDP: rawSocket(t, unix.IPPROTO_UDP)}
	defer unix.Close(receivers[lvs.TCP])
	defer unix.Close(receivers[lvs.UDP])
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	compared, marked := 0, 0
	marks := map[uint32]int{}
	for range 40_000 {
		if compared == 1000 {
			break
		}
		p := randomPacket(random)
		if mayFit(but, p) {
			continue
		}
		want := uint32(0)
		for _, r := range rules {
			if r.Matches(p) {
				want = want&^r.Mask ^ r.Value
			}
		}
		if want == 0 && random.IntN(8) != 0 {
			continue // most packets shall be marked
		}
		send(t, sender, p)
		got := receiveMark(t, receivers[p.Protocol])
		compared++
		if marks[got]++; got != 0 {
			marked++
		}
		if got != want {
			t.Fatalf("%+v: mark %#x by the rules, %#x by the kernel (seed %d)", p, want, got, seed)
		}
	}
	if compared < 1000 || len(marks) < 8 {
		t.Errorf("%d packets were compared, %d of them marked: %v", compared, marked, marks)
	}
}

func mayFit(but []Match, p lvs.MarkedPacket) bool {
	one := Match{
		Families: []lvs.Family{lvs.IPv4}, Protocols: []lvs.Protocol{p.Protocol}, Interfaces: []string{p.Interface},
		Sources:      []netip.Prefix{netip.PrefixFrom(p.From.Addr(), 32)},
		Destinations: []netip.Prefix{netip.PrefixFrom(p.To.Addr(), 32)},
		SourcePorts:  []lvs.PortRange{{First: p.From.Port(), Last: p.From.Port()}},
		Ports:        []lvs.PortRange{{First: p.To.Port(), Last: p.To.Port()}},
	}
	for _, m := range but {
		if len(m.Sources) == 0 && len(m.Destinations) == 0 { // "not from 203.0.113.0/24": none of ours
			continue
		}
		if !m.disjoint(one) {
			return true
		}
	}
	return false
}

func randomPacket(random *rand.Rand) lvs.MarkedPacket {
	ports := []uint16{20, 21, 25, 53, 79, 80, 81, 443, 1024, 1500, 2047, 2048, 4500, 7000, 7002, 8000, 8050, 8099, 8443, 65535}
	return lvs.MarkedPacket{
		Protocol: []lvs.Protocol{lvs.TCP, lvs.UDP}[random.IntN(2)],
		From: netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + random.IntN(250))}),
			[]uint16{1023, 1024, 2047, 2048, 40000}[random.IntN(5)]),
		To:        netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + random.IntN(8))}), ports[random.IntN(len(ports))]),
		Interface: inName,
	}
}

func mustInterface(t *testing.T, name string) *net.Interface {
	t.Helper()
	i, err := net.InterfaceByName(name)
	must(t, err)
	return i
}

// rawSocket gets copies of what the host gets of a protocol, with their marks (SO_RCVMARK, Linux 5.19).
func rawSocket(t *testing.T, protocol int) int {
	t.Helper()
	const soRcvmark = 75
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	must(t, err)
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, soRcvmark, 1))
	limit := unix.NsecToTimeval(int64(2 * time.Second))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	return fd
}

func send(t *testing.T, conn *packet.Conn, p lvs.MarkedPacket) {
	t.Helper()
	in := mustInterface(t, inName)
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocol(p.Protocol), SrcIP: p.From.Addr().AsSlice(), DstIP: p.To.Addr().AsSlice(),
	}
	var transport gopacket.SerializableLayer
	if p.Protocol == lvs.TCP {
		tcp := &layers.TCP{SrcPort: layers.TCPPort(p.From.Port()), DstPort: layers.TCPPort(p.To.Port()), RST: true}
		must(t, tcp.SetNetworkLayerForChecksum(ip))
		transport = tcp
	} else {
		udp := &layers.UDP{SrcPort: layers.UDPPort(p.From.Port()), DstPort: layers.UDPPort(p.To.Port())}
		must(t, udp.SetNetworkLayerForChecksum(ip))
		transport = udp
	}
	buffer := gopacket.NewSerializeBuffer()
	ethernet := &layers.Ethernet{SrcMAC: mustInterface(t, outName).HardwareAddr, DstMAC: in.HardwareAddr, EthernetType: layers.EthernetTypeIPv4}
	must(t, gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ethernet, ip, transport))
	_, err := conn.WriteTo(buffer.Bytes(), &packet.Addr{HardwareAddr: in.HardwareAddr})
	must(t, err)
}

func receiveMark(t *testing.T, fd int) uint32 {
	t.Helper()
	data, control := make([]byte, 1500), make([]byte, 256)
	_, n, _, _, err := unix.Recvmsg(fd, data, control, 0)
	must(t, err)
	messages, err := unix.ParseSocketControlMessage(control[:n])
	must(t, err)
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_MARK && len(m.Data) >= 4 {
			return uint32(m.Data[0]) | uint32(m.Data[1])<<8 | uint32(m.Data[2])<<16 | uint32(m.Data[3])<<24
		}
	}
	t.Fatal("the kernel told no mark")
	return 0
}

// TestParseErrors: what iptables-save does not print is refused with its line.
func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"*mangle\n:PREROUTING\n": "line 2",
		"nonsense":               "line 1",
		"*mangle\n:PREROUTING ACCEPT\n-A PREROUTING \"x\n": "quotation mark",
	} {
		if _, err := ParseIPTables("iptables", lvs.IPv4, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := ParseNFT([]byte("nonsense"), false); err == nil {
		t.Error("what is no JSON was read")
	}
	words, err := quotedWords(`-A x --comment "a \"b\" c" -j MARK`)
	must(t, err)
	if diff := cmp.Diff([]string{"-A", "x", "--comment", `a "b" c`, "-j", "MARK"}, words); diff != "" {
		t.Error(diff)
	}
}
