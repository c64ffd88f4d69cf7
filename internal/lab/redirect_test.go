package lab

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"drover/internal/datapath"
)

// testEtherType is "Local Experimental Ethertype 1" (IEEE 802).
const testEtherType = 0x88b5

// TestRedirectedFramesArrive sends a frame to the director, where an XDP program redirects it to rs1,
// out of the interface it came in by and out of the other one. That it arrives hangs on GRO at the far
// end: switched off, the same frame is lost.
func TestRedirectedFramesArrive(t *testing.T) {
	for _, test := range []struct {
		name        string
		cfg         Config
		sender, out string
	}{
		{"same interface", Config{Layout: OneArm}, Client, "eth0"},
		{"other interface", Config{Layout: TwoInterface}, Gate, "eth1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := upLab(t, test.cfg)
			attachRedirect(t, l, []matchByte{{12, testEtherType >> 8}, {13, testEtherType & 0xff}}, test.out)
			if !frameArrives(t, l, test.sender, 3*time.Second) {
				t.Error("the redirected frame did not arrive")
			}
			err := l.Do(Segment, func() error {
				return datapath.SetOffload(Director+"-"+test.out, datapath.OffloadGRO, false)
			})
			if err != nil {
				t.Fatal(err)
			}
			if frameArrives(t, l, test.sender, 300*time.Millisecond) {
				t.Error("the frame arrived without GRO: the lab need not switch it on")
			}
		})
	}
}

// TestTransfersThroughRedirect sends megabytes over the VIP while XDP hands every packet for it to
// rs1: packets of TCP keep their checksums and their size through the director and the bridge.
func TestTransfersThroughRedirect(t *testing.T) {
	for _, layout := range layouts[DR] {
		t.Run(string(layout), func(t *testing.T) {
			cfg := Config{Layout: layout}
			if layout == TwoInterface {
				cfg.MTU = 9000
			}
			l := upLab(t, cfg)
			vip := l.Topology.VIP(V4).As4()
			match := []matchByte{{12, 0x08}, {13, 0x00}} // IPv4
			for i, b := range vip {
				match = append(match, matchByte{int16(30 + i), b})
			}
			out := "eth0"
			if layout == TwoInterface {
				out = "eth1"
			}
			attachRedirect(t, l, match, out)
			file := filepath.Join(t.TempDir(), "upload")
			data := make([]byte, 5_000_000)
			_, _ = rand.NewChaCha8([32]byte{}).Read(data) // never fails
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			url, err := l.URL(V4, "")
			if err != nil {
				t.Fatal(err)
			}
			got, err := l.Exec(t.Context(), Client, "curl", "-sS", "--max-time", "10", "--data-binary", "@"+file, url)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "upload", fmt.Sprintf("%x %d\n", sha256.Sum256(data), len(data)), string(got))
			got, err = l.Exec(t.Context(), Client, "curl", "-sS", "--max-time", "10", url+"bytes/5000000")
			if err != nil {
				t.Fatal(err)
			}
			for i, b := range got {
				if b != byte(i%patternPeriod) {
					t.Fatalf("download: byte %d is %d, want %d", i, b, i%patternPeriod)
				}
			}
			check(t, "downloaded bytes", 5_000_000, len(got))
		})
	}
}

// attachRedirect puts a program on the director's eth0 that gives matching frames rs1's MAC and
// redirects them to an interface.
func attachRedirect(t *testing.T, l *Lab, match []matchByte, out string) {
	t.Helper()
	rs1 := serverPort(l)
	var attached link.Link
	err := l.Do(Director, func() error {
		in, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		to, err := net.InterfaceByName(out)
		if err != nil {
			return err
		}
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.XDP, License: "Dual BSD/GPL",
			Flags:        unix.BPF_F_XDP_HAS_FRAGS, // for jumbo frames
			Instructions: redirect(match, rs1.MAC, MAC(to.HardwareAddr), to.Index),
		})
		if err != nil {
			return err
		}
		defer program.Close()
		attached, err = link.AttachXDP(link.XDPOptions{Program: program, Interface: in.Index})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { attached.Close() })
}

// matchByte is a byte that a frame must have.
type matchByte struct {
	offset int16
	value  byte
}

// redirect is an XDP program that gives matching frames of 34 bytes or more other MACs and redirects
// them; the rest passes. The source MAC must change too: the bridge would learn that the client is at
// the director's port, and bring it the replies.
func redirect(match []matchByte, to, from MAC, ifindex int) asm.Instructions {
	const xdpPass = 2
	instructions := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), // data
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word), // data_end
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, 34),
		asm.JGT.Reg(asm.R4, asm.R3, "pass"),
	}
	for _, m := range match {
		instructions = append(instructions,
			asm.LoadMem(asm.R5, asm.R2, m.offset, asm.Byte),
			asm.JNE.Imm(asm.R5, int32(m.value), "pass"))
	}
	for i, b := range slices.Concat(to, from) {
		instructions = append(instructions, asm.StoreImm(asm.R2, int16(i), int64(b), asm.Byte))
	}
	return append(instructions,
		asm.Mov.Imm(asm.R1, int32(ifindex)),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"),
		asm.Return(),
	)
}

// serverPort is rs1's only one.
func serverPort(l *Lab) Port {
	for _, p := range l.Topology.Ports {
		if p.Node == "rs1" {
			return p
		}
	}
	return Port{}
}

// frameArrives sends frames of the test's type to the director until rs1 has one.
func frameArrives(t *testing.T, l *Lab, sender string, limit time.Duration) bool {
	t.Helper()
	from, _ := l.Topology.Port(sender, frontNet.Name)
	to, _ := l.Topology.Port(Director, frontNet.Name)
	out, in := listen(t, l, from), listen(t, l, serverPort(l))
	frame := append(append(append([]byte{}, to.MAC...), from.MAC...), testEtherType>>8, testEtherType&0xff)
	frame = append(frame, make([]byte, 46)...)
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		if _, err := out.WriteTo(frame, &packet.Addr{HardwareAddr: net.HardwareAddr(to.MAC)}); err != nil {
			t.Fatal(err)
		}
		if err := in.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, _, err := in.ReadFrom(make([]byte, 2000))
		if err == nil {
			return true
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	return false
}

func listen(t *testing.T, l *Lab, p Port) *packet.Conn {
	t.Helper()
	var conn *packet.Conn
	err := l.Do(p.Node, func() error {
		iface, err := net.InterfaceByName(p.Interface)
		if err != nil {
			return err
		}
		conn, err = packet.Listen(iface, packet.Raw, testEtherType, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
