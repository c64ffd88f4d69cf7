package config

import (
	"net/netip"

	"drover/internal/lvs"
)

// A SyncDaemon is lvs_sync_daemon: which connections' daemon runs where, and by whose state.
type SyncDaemon struct {
	At       Position
	Daemon   lvs.SyncDaemon // but for its role
	Instance string         // the vrrp_instance whose state chooses the role; empty: both roles are played
	HasID    bool           // SyncID was said; else it is the instance's virtual_router_id
}

// readSyncDaemon reads "INTERFACE [[inst] INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group ADDRESS]".
func (b *builder) readSyncDaemon(s *Statement) {
	name := b.text(s)
	switch {
	case name == "":
		return
	case len(name) > maxInterface:
		b.wrong(s, "%q: want the name of an interface, %d letters at most", name, maxInterface)
		return
	case global(b).Sync != nil:
		b.wrong(s, "there is one already: this one is ignored")
		return
	}
	d := &SyncDaemon{At: s.At}
	d.Daemon.Interface = name
	global(b).Sync = d
	rest := s.Words[2:]
	if len(rest) > 0 && !isSyncOption(rest[0]) {
		d.Instance, rest = rest[0], rest[1:]
	}
	for ; len(rest) > 0; rest = rest[min(2, len(rest)):] {
		if !isSyncOption(rest[0]) {
			b.wrong(s, "%q: want inst, id, maxlen, port, ttl or group", rest[0])
		} else if len(rest) < 2 {
			b.wrong(s, "%s: want a value", rest[0])
		} else {
			b.syncOption(s, d, rest[0], rest[1])
		}
	}
}

func isSyncOption(word string) bool {
	switch word {
	case "inst", "id", "maxlen", "port", "ttl", "group":
		return true
	}
	return false
}

func (b *builder) syncOption(s *Statement, d *SyncDaemon, name, value string) {
	number := func(low, high int) int {
		n, _ := b.numberIn(s, value, low, high)
		return n
	}
	switch name {
	case "inst":
		d.Instance = value
	case "id":
		if n, ok := b.numberIn(s, value, 0, 255); ok {
			d.Daemon.SyncID, d.HasID = uint8(n), true
		}
	case "maxlen":
		d.Daemon.MaxLen = uint16(number(1, 65507))
	case "port":
		d.Daemon.Port = uint16(number(1, 65535))
	case "ttl":
		d.Daemon.TTL = uint8(number(1, 255))
	case "group":
		if a, err := netip.ParseAddr(value); err != nil || !a.IsMulticast() {
			b.wrong(s, "%q: want a multicast address", value)
		} else {
			d.Daemon.Group = a
		}
	}
}
