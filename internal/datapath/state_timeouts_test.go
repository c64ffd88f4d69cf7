package datapath

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/lvs"
)

// clientPackets sends a connection's packets from its client, one for each element: TCP flags.
func (r *rig) clientPackets(f flow, flags ...byte) {
	r.t.Helper()
	for _, each := range flags {
		r.follow(f, each)
	}
}

// only gives the one connection that there is.
func (r *rig) only() lvs.Connection {
	r.t.Helper()
	all, err := r.table.Connections()
	if err != nil || len(all) != 1 {
		r.t.Fatalf("connections: %v, %v; want one", all, err)
	}
	return all[0]
}

// TestSetTimeouts: a connection keeps its timeout until its next packet, takes the new one then, and ends
// at it, by the timer's turn alone.
func TestSetTimeouts(t *testing.T) {
	r := newRig(t, 64)
	tcp, _ := r.stateService("192.0.2.101:80", lvs.TCP, lvs.DirectRoute)
	udp, _ := r.stateService("192.0.2.102:53", lvs.UDP, lvs.Masquerade)
	client := netip.MustParseAddrPort("203.0.113.7:1024")
	for _, test := range []struct {
		name    string
		service lvs.ServiceKey
		before  []byte
		next    byte
		change  lvs.Timeouts
		want    [2]time.Duration // with the old timeout, and after the next packet
	}{
		{"established", tcp, []byte{flagSYN, flagACK}, flagACK, lvs.Timeouts{TCP: 5 * time.Second}, [2]time.Duration{900, 5}},
		{"fin wait", tcp, []byte{flagSYN, flagACK, flagFIN}, flagACK, lvs.Timeouts{TCPFin: 7 * time.Second}, [2]time.Duration{120, 7}},
		{"udp", udp, []byte{0}, 0, lvs.Timeouts{UDP: 9 * time.Second}, [2]time.Duration{300, 9}},
		{
			"other states stay", tcp,
			[]byte{flagSYN},
			flagSYN,
			lvs.Timeouts{TCP: time.Second, TCPFin: time.Second, UDP: time.Second},
			[2]time.Duration{60, 60},
		},
	} {
		r.expireAll()
		must(t, r.table.SetTimeouts(lvs.DefaultTimeouts))
		f := flow{test.service.Protocol, client, test.service.Addr}
		r.clientPackets(f, test.before...)
		must(t, r.table.SetTimeouts(test.change))
		var got [2]time.Duration
		got[0] = r.only().Expires / time.Second
		r.clientPackets(f, test.next)
		got[1] = r.only().Expires / time.Second
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: seconds to live (-want +got):\n%s", test.name, diff)
		}
		r.turn(uint32(test.want[1])*1000 - 1)
		if left := r.only().Expires; left != time.Millisecond {
			t.Errorf("%s: %v to live, want the last millisecond", test.name, left)
		}
		r.turn(1)
		if all, err := r.table.Connections(); err != nil || len(all) != 0 {
			t.Errorf("%s: connections %v, %v; their time is up", test.name, all, err)
		}
		if wrong := r.auditCounts(); wrong != nil {
			t.Errorf("%s: %v", test.name, wrong)
		}
	}
}

// TestTimeoutsKept: zero keeps a timeout, what is too long is refused whole, and what was set is read back.
func TestTimeoutsKept(t *testing.T) {
	r := newRig(t, 64)
	steps := []struct {
		name string
		set  lvs.Timeouts
		err  error
		want lvs.Timeouts
	}{
		{"nothing", lvs.Timeouts{}, nil, lvs.DefaultTimeouts},
		{"one", lvs.Timeouts{TCPFin: 30 * time.Second}, nil, lvs.Timeouts{TCP: 900 * time.Second, TCPFin: 30 * time.Second, UDP: 300 * time.Second}},
		{
			"all",
			lvs.Timeouts{TCP: 1 * time.Second, TCPFin: 2 * time.Second, UDP: 3 * time.Second},
			nil,
			lvs.Timeouts{TCP: 1 * time.Second, TCPFin: 2 * time.Second, UDP: 3 * time.Second},
		},
		{
			"too long",
			lvs.Timeouts{TCP: 60 * time.Second, UDP: (maxTimeout + 1) * time.Second},
			lvs.ErrInvalidDestination,
			lvs.Timeouts{TCP: 1 * time.Second, TCPFin: 2 * time.Second, UDP: 3 * time.Second},
		},
	}
	for _, step := range steps {
		if err := r.table.SetTimeouts(step.set); !errors.Is(err, step.err) {
			t.Errorf("%s: error %v, want %v", step.name, err, step.err)
		}
		got, err := r.table.Timeouts()
		must(t, err)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

// TestUsedPort: a SYN of a client on a connection that is over begins a new one, which is scheduled anew;
// on any other it belongs to the connection.
func TestUsedPort(t *testing.T) {
	r := newRig(t, 64)
	key, _ := r.stateService("192.0.2.101:80", lvs.TCP, lvs.DirectRoute)
	second := lvs.Destination{Addr: netip.MustParseAddrPort("198.51.100.11:80"), Forwarding: lvs.DirectRoute, Weight: 1}
	must(t, r.table.AddDestination(key, second))
	for i, test := range []struct {
		name    string
		packets []byte
		state   lvs.State
		anew    bool
	}{
		{"SYN_RECV", []byte{flagSYN}, lvs.StateSynRecv, false},
		{"ESTABLISHED", []byte{flagSYN, flagACK}, lvs.StateEstablished, false},
		{"FIN_WAIT", []byte{flagSYN, flagACK, flagFIN}, lvs.StateFinWait, false},
		{"TIME_WAIT", []byte{flagSYN, flagFIN}, lvs.StateTimeWait, true},
		{"CLOSE", []byte{flagSYN, flagACK, flagRST}, lvs.StateClose, true},
	} {
		r.expireAll()
		must(t, r.table.Zero(nil))
		f := flow{lvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("203.0.113.7"), uint16(1024+i)), key.Addr}
		r.clientPackets(f, test.packets...)
		before := r.only()
		if before.State != test.state {
			t.Fatalf("%s: the connection is in %s", test.name, lvs.StateName(lvs.TCP, before.State))
		}
		r.clientPackets(f, flagSYN)
		after := r.only()
		service, err := r.table.Service(key)
		must(t, err)
		if moved := after.Destination != before.Destination; moved != test.anew {
			t.Errorf("%s: from %v to %v, want a new choice: %t", test.name, before.Destination, after.Destination, test.anew)
		}
		if began := service.Stats.Conns == 2; began != test.anew {
			t.Errorf("%s: %d connections counted, want a second: %t", test.name, service.Stats.Conns, test.anew)
		}
		if wrong := r.auditCounts(); wrong != nil {
			t.Errorf("%s: %v", test.name, wrong)
		}
	}
}
