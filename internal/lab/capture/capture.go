// Package capture records the TCP packets that cross the switch ports of a lab, with AF_PACKET sockets
// (packet(7)) in the segment's namespace. The director's XDP program works before anything that could
// be recorded on the director itself, so the far end of its cable is where to look.
package capture

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"drover/internal/lab"
)

const (
	quiet     = 200 * time.Millisecond // without a packet, before a recording ends
	maxFrame  = 1 << 16                // bytes
	stopLimit = 5 * time.Second        // for traffic that does not become quiet
)

// A Recording is under way from Start until Stop.
type Recording struct {
	sockets []*packet.Conn
	readers sync.WaitGroup

	mu      sync.Mutex // protects what follows
	packets []Packet
	last    time.Time // when the newest came
	failed  error
}

// Start records at all ports of the lab's networks of these names. The caller ends it with Stop or Close.
func Start(l *lab.Lab, networks ...string) (_ *Recording, err error) {
	r := &Recording{last: time.Now()}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	for _, network := range networks {
		for _, port := range l.Topology.Ports {
			if port.Network != network {
				continue
			}
			socket, err := listen(l, port)
			if err != nil {
				return nil, fmt.Errorf("record at port %s: %w", port.BridgePort(), err)
			}
			r.sockets = append(r.sockets, socket)
			r.readers.Go(func() { r.read(socket, port) })
		}
	}
	return r, nil
}

func listen(l *lab.Lab, port lab.Port) (socket *packet.Conn, err error) {
	err = l.Do(lab.Segment, func() error {
		iface, err := net.InterfaceByName(port.BridgePort())
		if err != nil {
			return err
		}
		socket, err = packet.Listen(iface, packet.Raw, unix.ETH_P_ALL, nil)
		return err
	})
	return socket, err
}

// read keeps what a socket receives until its deadline, which is set to end it.
func (r *Recording) read(socket *packet.Conn, port lab.Port) {
	buffer := make([]byte, maxFrame)
	for {
		n, _, err := socket.ReadFrom(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			r.fail(fmt.Errorf("record at port %s: %w", port.BridgePort(), err))
			return
		}
		p, ok := Decode(buffer[:n])
		if !ok {
			continue
		}
		p.Node, p.Network = port.Node, port.Network
		r.mu.Lock()
		r.packets, r.last = append(r.packets, p), time.Now()
		r.mu.Unlock()
	}
}

func (r *Recording) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = errors.Join(r.failed, err)
}

// Stop ends the recording when no packet has come for a moment, and returns the packets: of each port
// in the order in which they crossed it. A recording that lost some is an error.
func (r *Recording) Stop() ([]Packet, error) {
	r.settle()
	for _, socket := range r.sockets {
		stats, err := socket.Stats()
		if err == nil && stats.Drops > 0 {
			err = fmt.Errorf("recording lost %d packets", stats.Drops)
		}
		if err != nil {
			r.fail(err)
		}
	}
	r.Close()
	return r.packets, r.failed
}

// settle waits until what was sent has also been read.
func (r *Recording) settle() {
	limit := time.Now().Add(stopLimit)
	for now := time.Now(); now.Before(limit); now = time.Now() {
		r.mu.Lock()
		last := r.last
		r.mu.Unlock()
		rest := quiet - now.Sub(last)
		if rest <= 0 {
			return
		}
		time.Sleep(rest)
	}
}

// Close gives the recording up. It may be called after Stop.
func (r *Recording) Close() {
	for _, socket := range r.sockets {
		_ = socket.SetReadDeadline(time.Now()) // it is closed already, perhaps
	}
	r.readers.Wait()
	for _, socket := range r.sockets {
		_ = socket.Close()
	}
}
