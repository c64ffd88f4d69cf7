//go:build kernel61

package kernel

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A port is the test's end of one of a director's networks: frames go in and come out.
type port struct {
	fd     int
	buffer []byte
}

func openPort(t *testing.T, index int) *port {
	t.Helper()
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8) // network byte order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(all))
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}))
	must(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
	must(t, unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{
		Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC,
	}))
	return &port{fd: fd, buffer: make([]byte, 1<<16)}
}

func (p *port) send(frame []byte) error {
	if _, err := unix.Write(p.fd, frame); err != nil {
		return fmt.Errorf("send a frame: %w", err)
	}
	return nil
}

// receive gives the frames for the router or a server that have come.
func (p *port) receive() ([][]byte, error) {
	var frames [][]byte
	for {
		n, err := unix.Read(p.fd, p.buffer)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return frames, nil
		case err != nil:
			return nil, fmt.Errorf("receive a frame: %w", err)
		case isOurs(p.buffer[:n]):
			frames = append(frames, append([]byte(nil), p.buffer[:n]...))
		}
	}
}

// await waits until one of the ports has something, or until the time is over.
func await(timeout time.Duration, ports ...*port) {
	var fds []unix.PollFd
	for _, p := range ports {
		fds = append(fds, unix.PollFd{Fd: int32(p.fd), Events: unix.POLLIN})
	}
	_, _ = unix.Poll(fds, int(timeout.Milliseconds()))
}
