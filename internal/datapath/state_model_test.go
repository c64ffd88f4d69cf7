package datapath

import (
	"time"

	"drover/internal/lvs"
)

// tcpModel is what ip_vs of Linux 6.1 does with TCP, as a table of its own: by the state that a connection
// is in, the next after a SYN, FIN, ACK or RST. What the programs have is laid out the other way round.
type tcpModel map[lvs.State]struct{ syn, fin, ack, rst lvs.State }

const (
	es = lvs.StateEstablished
	ss = lvs.StateSynSent
	sr = lvs.StateSynRecv
	fw = lvs.StateFinWait
	tw = lvs.StateTimeWait
	cl = lvs.StateClose
	cw = lvs.StateCloseWait
)

// Packets of the client, where the server's are seen too: NAT. A connection of ours is never in LAST_ACK,
// LISTEN or SYNACK, which ip_vs's tables lead to from each other alone.
var fromClientModel = tcpModel{
	lvs.StateNone: {syn: sr, fin: cl, ack: es, rst: cl},
	es:            {syn: es, fin: cw, ack: es, rst: cl},
	ss:            {syn: es, fin: ss, ack: ss, rst: cl},
	sr:            {syn: sr, fin: tw, ack: es, rst: sr},
	fw:            {syn: sr, fin: tw, ack: fw, rst: cl},
	tw:            {syn: sr, fin: tw, ack: tw, rst: cl},
	cl:            {syn: sr, fin: cl, ack: cl, rst: cl},
	cw:            {syn: sr, fin: cw, ack: cw, rst: cl},
}

// Packets of the server.
var fromServerModel = tcpModel{
	es: {syn: es, fin: fw, ack: es, rst: cl},
	ss: {syn: ss, fin: ss, ack: ss, rst: ss},
	sr: {syn: sr, fin: tw, ack: es, rst: cl},
	fw: {syn: ss, fin: fw, ack: fw, rst: cl},
	tw: {syn: ss, fin: tw, ack: tw, rst: tw},
	cl: {syn: ss, fin: cl, ack: cl, rst: cl},
	cw: {syn: ss, fin: tw, ack: cw, rst: cl},
}

// Packets of the client, where the server's go another way: direct routing. The client's FIN is all there
// will be of a FIN.
var fromClientOnlyModel = tcpModel{
	lvs.StateNone: {syn: sr, fin: cl, ack: es, rst: cl},
	es:            {syn: es, fin: fw, ack: es, rst: cl},
	ss:            {syn: es, fin: ss, ack: ss, rst: cl},
	sr:            {syn: sr, fin: tw, ack: es, rst: sr},
	fw:            {syn: sr, fin: fw, ack: fw, rst: cl},
	tw:            {syn: sr, fin: tw, ack: tw, rst: cl},
	cl:            {syn: sr, fin: cl, ack: cl, rst: cl},
	cw:            {syn: sr, fin: cw, ack: cw, rst: cl},
}

// modelTimeouts are ip_vs's, in seconds.
var modelTimeouts = map[lvs.State]uint32{es: 900, ss: 120, sr: 60, fw: 120, tw: 120, cl: 10, cw: 60}

// next is the state after a packet with these flags, of which RST counts most, then SYN, FIN and ACK; one
// without any of them closes.
func (m tcpModel) next(state lvs.State, flags byte) lvs.State {
	row := m[state]
	switch {
	case flags&flagRST != 0:
		return row.rst
	case flags&flagSYN != 0:
		return row.syn
	case flags&flagFIN != 0:
		return row.fin
	case flags&flagACK != 0:
		return row.ack
	}
	return cl
}

// connModel is one connection of a client, or none.
type connModel struct {
	protocol   lvs.Protocol
	forwarding lvs.Forwarding
	lives      bool
	state      lvs.State
	idle       uint32 // ms since its last packet
}

// fromClient is a packet of the client; it tells whether the packet goes on to the server. A SYN begins a
// connection where there is none, or one that is over.
func (c *connModel) fromClient(flags byte) bool {
	if c.protocol == lvs.UDP {
		c.lives, c.idle = true, 0
		return true
	}
	if c.lives && flags&flagSYN != 0 && (c.state == tw || c.state == cl) {
		c.lives = false
	}
	if !c.lives {
		if flags&flagSYN == 0 || flags&flagRST != 0 {
			return false
		}
		c.lives, c.state = true, lvs.StateNone
	}
	table := fromClientModel
	if c.forwarding != lvs.Masquerade {
		table = fromClientOnlyModel
	}
	c.state, c.idle = table.next(c.state, flags), 0
	return true
}

// fromServer is a reply that passes by; it tells whether the reply is the connection's.
func (c *connModel) fromServer(flags byte) bool {
	if !c.lives || c.forwarding != lvs.Masquerade {
		return false
	}
	if c.protocol == lvs.TCP {
		c.state = fromServerModel.next(c.state, flags)
	}
	c.idle = 0
	return true
}

// timeout is in seconds.
func (c *connModel) timeout() uint32 {
	if c.protocol == lvs.UDP {
		return 300
	}
	return modelTimeouts[c.state]
}

// wait lets time pass, and the connection end when its time is up.
func (c *connModel) wait(milliseconds uint32) {
	c.idle += milliseconds
	c.lives = c.lives && c.idle < c.timeout()*1000
}

func (c *connModel) expires() time.Duration {
	return time.Duration(c.timeout())*time.Second - time.Duration(c.idle)*time.Millisecond
}

// active: SYN_RECV counts, as measured on Linux 6.1, and UDP never.
func (c *connModel) active() bool {
	return c.protocol == lvs.TCP && (c.state == es || c.state == ss || c.state == sr)
}
