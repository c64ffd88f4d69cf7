//go:build record

package datapath

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/lvs"
)

// TestRecordTunnels writes what ip_vs does with the frames of tunnelRequests and errors to the file that
// TUNNEL_RECORDING names. testdata/tunnel/record.sh runs it in the virtual machine.
func TestRecordTunnels(t *testing.T) {
	enterNamespace(t)
	front := rigLink(t, frontName, frontMAC, "192.0.2.1/24", "2001:db8:2::1/64", "192.0.2.100/32", "2001:db8:2::100/128")
	back := rigLink(t, backName, backMAC, "198.51.100.1/24", "2001:db8:3::1/64")
	permanent(t, front, "192.0.2.254", routerMAC)
	permanent(t, front, "2001:db8:2::fe", routerMAC)
	addRoute(t, "203.0.113.0/24", "192.0.2.254")
	addRoute(t, "2001:db8:1::/64", "2001:db8:2::fe")
	for host := byte(2); host <= 250; host++ {
		for _, f := range families {
			permanent(t, back, f.host(host).String(), serverMAC(host))
		}
	}
	for _, setting := range []string{
		"ipv4/ip_forward=1", "ipv6/conf/all/forwarding=1", "ipv4/icmp_ratelimit=0", "ipv6/icmp/ratelimit=0",
		"ipv4/conf/all/rp_filter=0", "ipv4/conf/front/rp_filter=0", "ipv4/conf/back/rp_filter=0",
	} {
		name, value, _ := strings.Cut(setting, "=")
		must(t, os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644))
	}
	for _, name := range []string{frontName, backName} {
		command(t, "ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off")
	}
	w := &wire{t: t, ports: map[string]*tap{frontName: newTap(t, frontName), backName: newTap(t, backName)}}
	time.Sleep(2 * time.Second) // until the interfaces have said their greetings
	w.collect(time.Second)
	for _, p := range tunnelPools() {
		service := netip.AddrPortFrom(p.inner.vip, p.port).String()
		for _, option := range []string{"-t", "-u"} {
			command(t, "ipvsadm", "-A", option, service, "-s", "rr")
			command(t, "ipvsadm", append([]string{"-a", option, service, "-r", p.server.Addr.String(), "-i"},
				strings.Fields(p.switches)...)...)
		}
		fmt.Fprintf(&w.text, "pool %s\n", p.name)
		for _, step := range p.tunnelRequests(t) {
			w.step(step.name, step.in.port, step.in.bytes)
		}
		w.errors(p)
		p.narrow(t)
		w.sizes(p, narrowMTU)
	}
	must(t, os.WriteFile(os.Getenv("TUNNEL_RECORDING"), w.text.Bytes(), 0o644))
}

// tunnelRequests are the frames that a pool's client sends, each of a connection of its own.
func (p tunnelPool) tunnelRequests(t testing.TB) []tunnelStep {
	var all []tunnelStep
	add := func(name string, frame []byte) {
		all = append(all, tunnelStep{name: name, in: wireFrame{frontName, frame}})
	}
	for _, protocol := range protocols {
		base := p.inner.request(protocol, p.port)
		request := func() ipPacket {
			s := base
			s.from = netip.AddrPortFrom(p.inner.client, uint16(10000+len(all)))
			return s
		}
		for _, row := range shapes {
			if row.name != "full MTU" {
				add(protocol.String()+" "+row.name, row.shape(request()).frame(t))
			}
		}
		for _, class := range []byte{0, 0x29, 0x2a, 0x2b, 0xff} {
			add(fmt.Sprintf("%s class %#02x", protocol, class), withClass(request().frame(t), class))
		}
		for _, size := range []int{0, 1} { // of the inner packet, beyond what fits 1500
			s := request()
			s.payload = nil
			s.payload = pattern(1500 - p.overhead() + size - len(s.packet(t)))
			add(fmt.Sprintf("%s %d beyond the MTU", protocol, size), s.frame(t))
			s.mayFragment = true
			s.from = netip.AddrPortFrom(p.inner.client, uint16(10000+len(all)))
			if p.inner.name == "IPv4" {
				add(fmt.Sprintf("%s %d beyond the MTU, may be fragmented", protocol, size), s.frame(t))
			}
		}
	}
	s := p.inner.request(lvs.UDP, p.port)
	s.from = netip.AddrPortFrom(p.inner.client, uint16(10000+len(all)))
	s.noChecksum = true
	if p.inner.name == "IPv4" {
		add("UDP without checksum", s.frame(t))
	}
	s = p.inner.datagram(lvs.UDP, p.port)
	s.from = netip.AddrPortFrom(p.inner.client, uint16(10000+len(all)))
	for i, frame := range s.fragments(t, cuts...) {
		add(fmt.Sprintf("UDP fragment %d", i+1), frame)
	}
	return all
}

// withClass gives the frame another TOS or traffic class.
func withClass(frame []byte, class byte) []byte {
	frame = append([]byte(nil), frame...)
	if frame[12] == 0x86 {
		frame[14] = frame[14]&0xf0 | class>>4
		frame[15] = frame[15]&0x0f | class<<4
		return frame
	}
	frame[15] = class
	ip := frame[14:34]
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], ^onesSum(ip))
	return frame
}

// errors records what becomes of ICMP errors, from outside and about the tunnel's packets.
func (w *wire) errors(p tunnelPool) {
	for _, protocol := range protocols {
		request := p.inner.request(protocol, p.port)
		request.from = netip.AddrPortFrom(p.inner.client, 9000)
		for _, kind := range slices.Sorted(maps.Keys(p.inner.errors())) {
			e := p.inner.errors()[kind]
			w.step(protocol.String()+" connection", frontName, request.frame(w.t))
			e.source, e.destination, e.hops = routerMAC, frontMAC, 50
			e.from, e.to = p.inner.router, p.inner.vip
			e.quote = p.inner.quoteOf(w.t, turned(request), 8)
			w.step(protocol.String()+" error from outside: "+kind, frontName, e.frame(w.t))
		}
	}
	for _, noDF := range []bool{false, true} {
		request := p.inner.request(lvs.TCP, p.port)
		request.from = netip.AddrPortFrom(p.inner.client, 9001)
		request.mayFragment = noDF
		for _, kind := range []string{"unreachable", "time exceeded", "parameter problem", "fragmentation needed", "packet too big"} {
			e, there := p.outer.errors()[kind]
			if !there {
				continue
			}
			for _, quoted := range []int{p.outer.header + 8, 120} {
				sent := w.step(fmt.Sprintf("connection, may be fragmented: %t", noDF), frontName, request.frame(w.t))
				if len(sent) != 1 {
					w.t.Fatalf("%s: %d frames sent", p.name, len(sent))
				}
				e.source, e.destination, e.hops = serverMAC(250), backMAC, 50
				e.from, e.to = p.outer.backRouter, p.outer.director()
				if e.mtu != 0 {
					e.mtu = 1400
				}
				e.quote = sent[0].bytes[14:min(len(sent[0].bytes), 14+quoted)]
				w.step(fmt.Sprintf("error about the tunnel: %s, %d bytes quoted", kind, quoted), backName, e.frame(w.t))
			}
		}
	}
	w.sizes(p, 1400)
}

// sizes records packets about as large as fit.
func (w *wire) sizes(p tunnelPool, mtu int) {
	for _, beyond := range []int{-700, 0, 1} {
		request := p.inner.request(lvs.TCP, p.port)
		request.from = netip.AddrPortFrom(p.inner.client, 9002)
		request.payload = nil
		request.payload = pattern(mtu - p.overhead() + beyond - len(request.packet(w.t)))
		w.step(fmt.Sprintf("%d beyond the path MTU of %d", beyond, mtu), frontName, request.frame(w.t))
	}
}

// wire is the other ends of front and back.
type wire struct {
	t     *testing.T
	ports map[string]*tap
	text  bytes.Buffer
}

type tap struct{ fd int }

func newTap(t *testing.T, name string) *tap {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(bigEndian(unix.ETH_P_ALL)))
	must(t, err)
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{
		Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: device(t, name+"_peer").Attrs().Index,
	}))
	return &tap{fd}
}

// step sends a frame and writes down what comes of it.
func (w *wire) step(name, port string, frame []byte) []wireFrame {
	_, err := unix.Write(w.ports[port].fd, frame)
	must(w.t, err)
	out := w.collect(250 * time.Millisecond)
	fmt.Fprintf(&w.text, "step %s\nin %s %x\n", name, port, frame)
	for _, f := range out {
		fmt.Fprintf(&w.text, "out %s %x\n", f.port, f.bytes)
	}
	return out
}

// collect gives what arrives until nothing more does.
func (w *wire) collect(first time.Duration) []wireFrame {
	var all []wireFrame
	for deadline := time.Now().Add(first); time.Now().Before(deadline); {
		polled := []unix.PollFd{
			{Fd: int32(w.ports[frontName].fd), Events: unix.POLLIN}, {Fd: int32(w.ports[backName].fd), Events: unix.POLLIN},
		}
		if _, err := unix.Poll(polled, 10); err != nil && err != unix.EINTR {
			w.t.Fatal(err)
		}
		for i, name := range []string{frontName, backName} {
			if polled[i].Revents == 0 {
				continue
			}
			buffer := make([]byte, 65536)
			n, from, err := unix.Recvfrom(w.ports[name].fd, buffer, 0)
			must(w.t, err)
			if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING || isGreeting(buffer[:n]) {
				continue
			}
			all = append(all, wireFrame{name, buffer[:n]})
			deadline = time.Now().Add(15 * time.Millisecond)
		}
	}
	return all
}

// isGreeting tells what interfaces say by themselves: ARP, and what is sent to groups.
func isGreeting(frame []byte) bool { return frame[0]&1 != 0 || frame[12] == 0x08 && frame[13] == 0x06 }

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if output, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, output)
	}
}
