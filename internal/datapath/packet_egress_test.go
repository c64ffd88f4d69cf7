package datapath

import (
	"bytes"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"drover/internal/lvs"
)

// testLiveFrames is BPF_F_TEST_XDP_LIVE_FRAMES of linux/bpf.h: what the program redirects is sent.
const testLiveFrames = 2

// TestEgress: a redirect does not say whereto in a test run, so here the frames are really sent, and
// looked for at the other end of the wire.
func TestEgress(t *testing.T) {
	r := newScene(t)
	pass := passProgram(t, "pass_all")
	ends := map[string]int{}
	for _, name := range []string{frontName, backName} {
		// A veth takes redirected frames only where its peer has an XDP program.
		attached, err := link.AttachXDP(link.XDPOptions{Program: pass, Interface: device(t, name+"_peer").Attrs().Index})
		must(t, err)
		t.Cleanup(func() { must(t, attached.Close()) })
		ends[name] = listen(t, name+"_peer")
	}
	r.each(t, func(t *testing.T, f family, p lvs.Protocol) {
		route, masq, exceeded := f.request(p, routePort), f.request(p, masqPort), f.request(p, routePort)
		exceeded.hops = 1
		rows := []struct {
			name   string
			port   int
			in     []byte
			leaves string
			out    []byte
		}{
			{"to the server, DR", r.front, route.frame(t), backName, f.toServer(route, lvs.DirectRoute).frame(t)},
			{"to the server, NAT", r.front, masq.frame(t), backName, f.toServer(masq, lvs.Masquerade).frame(t)},
			{"to the client", r.back, f.reply(p).frame(t), frontName, f.toClient(f.reply(p)).frame(t)},
			{"answer", r.front, exceeded.frame(t), frontName, f.answer(t, exceeded, f.exceeded).frame(t)},
		}
		for _, row := range rows {
			r.transmit(row.port, row.in)
			eventually(t, 2*time.Second, row.name+" leaves by "+row.leaves, func() bool { return arrives(t, ends[row.leaves], row.out) })
		}
	})
}

// transmit is receive, with the verdict carried out.
func (r *rig) transmit(ifindex int, frame []byte) {
	r.t.Helper()
	_, err := r.objects.DroverXdp.Run(&ebpf.RunOptions{
		Data: frame, Flags: testLiveFrames, Repeat: 1,
		Context: xdpContext{DataEnd: uint32(len(frame)), IngressIfindex: uint32(ifindex)},
	})
	check(r.t, err)
}

// listen opens a socket that gets every frame that arrives at an interface.
func listen(t *testing.T, name string) int {
	t.Helper()
	all := int(bigEndian(unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, all)
	must(t, err)
	t.Cleanup(func() { must(t, unix.Close(fd)) })
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: device(t, name).Attrs().Index}))
	return fd
}

// arrives reads what has arrived, and tells whether the frame was among it.
func arrives(t *testing.T, fd int, frame []byte) bool {
	t.Helper()
	buffer := make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err == unix.EAGAIN {
			return false
		}
		must(t, err)
		if bytes.Equal(buffer[:n], frame) {
			return true
		}
	}
}
