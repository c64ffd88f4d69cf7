package system

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"drover/internal/lab"
)

// port is a node's first interface.
func (c *cluster) port(node string) lab.Port {
	c.t.Helper()
	for _, p := range c.Topology.Ports {
		if p.Node == node {
			return p
		}
	}
	c.t.Fatalf("%s has no interface", node)
	return lab.Port{}
}

// rawSocket sends and receives frames on eth0 of a node.
func (c *cluster) rawSocket(node string) *packet.Conn {
	c.t.Helper()
	var conn *packet.Conn
	err := c.Do(node, func() error {
		iface, err := net.InterfaceByName("eth0")
		if err == nil {
			conn, err = packet.Listen(iface, packet.Raw, unix.ETH_P_ALL, nil)
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return conn
}

// frameSizes are the longest frames that a node's eth0 received and sent, in bytes with their Ethernet
// headers.
type frameSizes struct{ In, Out int }

// capture watches a node until stop is called.
func (c *cluster) capture(node string) (stop func() frameSizes) {
	c.t.Helper()
	conn := c.rawSocket(node)
	own := net.HardwareAddr(c.port(node).MAC)
	var sizes frameSizes
	var stopping atomic.Bool
	done := make(chan error, 1)
	go func() {
		frame := make([]byte, 1<<16)
		for {
			n, _, err := conn.ReadFrom(frame)
			if err != nil {
				if stopping.Load() {
					err = nil
				}
				done <- err
				return
			}
			if n >= 12 && bytes.Equal(frame[6:12], own) {
				sizes.Out = max(sizes.Out, n)
			} else {
				sizes.In = max(sizes.In, n)
			}
		}
	}()
	stop = sync.OnceValue(func() frameSizes {
		stopping.Store(true)
		conn.Close()
		if err := <-done; err != nil {
			c.t.Errorf("capture on %s: %v", node, err)
		}
		return sizes
	})
	c.t.Cleanup(func() { stop() })
	return stop
}

// within compares the longest frames with bounds.
func (s frameSizes) within(t *testing.T, least, most frameSizes) {
	t.Helper()
	if s.In < least.In || s.In > most.In || s.Out < least.Out || s.Out > most.Out {
		t.Errorf("longest frames at the server: %+v, want between %+v and %+v", s, least, most)
	}
}
