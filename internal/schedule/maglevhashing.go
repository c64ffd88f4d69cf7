package schedule

import "drover/internal/lvs"

// Flags of a service that mh reads; they are sh's.
const (
	maglevFallback = lvs.SchedFlag1 // mh-fallback: an unusable server's clients go to others
	maglevPort     = lvs.SchedFlag2 // mh-port: the client's port is hashed, too
)

// maglevHash is mh: as sh, but a server more or less moves few of the other servers' clients.
type maglevHash struct {
	fallback, port bool
	servers        []Server
	table          *MaglevTable // of servers; nil: not filled yet
}

func newMaglevHash(flags lvs.ServiceFlags) *maglevHash {
	return &maglevHash{fallback: flags&maglevFallback != 0, port: flags&maglevPort != 0}
}

// Pick refuses the clients of a server that is not usable. With mh-fallback it hashes them anew instead,
// each time with another number added.
func (m *maglevHash) Pick(servers []Server, p Packet) (int, bool) {
	if m.table == nil {
		m.table = NewMaglevTable(m.servers, lvs.FamilyOf(p.Virtual.Addr()))
	}
	v := Fold(p.Client.Addr())
	if m.port {
		v += uint32(p.Client.Port())
	}
	bucket := sipHash13(v, maglevKey) % MaglevBuckets
	if i, ok := m.at(bucket, servers); ok || !m.fallback {
		return i, ok
	}
	for offset := range uint32(MaglevBuckets) {
		again := v + (offset+bucket)%MaglevBuckets
		if i, ok := m.at(sipHash13(again, maglevKey)%MaglevBuckets, servers); ok {
			return i, true
		}
	}
	return 0, false
}

// Changed has the table filled anew, as soon as the VIP's family is known.
func (m *maglevHash) Changed(_, after []Server) { m.servers, m.table = after, nil }

// at gives the server of a bucket, if it is usable.
func (m *maglevHash) at(bucket uint32, servers []Server) (index int, ok bool) {
	i := m.table[bucket]
	if i == NoMaglevServer || !servers[i].usable() {
		return 0, false
	}
	return int(i), true
}
