package schedule

import "drover/internal/lvs"

// Flags of a service that sh reads.
const (
	sourceHashFallback = lvs.SchedFlag1 // sh-fallback: an unusable server's clients go to others
	sourceHashPort     = lvs.SchedFlag2 // sh-port: the client's port is hashed, too
)

// sourceHash is sh: a client's address always gives the same server.
type sourceHash struct {
	fallback, port bool
	table          Table
}

func newSourceHash(flags lvs.ServiceFlags) *sourceHash {
	return &sourceHash{
		fallback: flags&sourceHashFallback != 0,
		port:     flags&sourceHashPort != 0,
		table:    SourceHashTable(nil),
	}
}

// Pick refuses the clients of a server that is not usable. With sh-fallback it goes on through the table
// instead; ip_vs begins that at twice the hash, to spread the clients of one server.
func (s *sourceHash) Pick(servers []Server, p Packet) (int, bool) {
	v := Fold(p.Client.Addr())
	if s.port {
		v += uint32(p.Client.Port())
	}
	hash := Hash32(v)
	if i, ok := s.table.at(hash, servers); ok || !s.fallback {
		return i, ok
	}
	for offset := range s.table {
		if i, ok := s.table.at(hash+hash+uint8(offset), servers); ok {
			return i, true
		}
	}
	return 0, false
}

// Changed fills the table anew.
func (s *sourceHash) Changed(_, after []Server) { s.table = SourceHashTable(weightsOf(after)) }

// destinationHash is dh: a VIP always gives the same server.
type destinationHash struct{ table Table }

func newDestinationHash() *destinationHash {
	return &destinationHash{table: DestinationHashTable(0)}
}

// Pick refuses the connections of a server that is not usable.
func (d *destinationHash) Pick(servers []Server, p Packet) (int, bool) {
	return d.table.at(Hash32(Fold(p.Virtual.Addr())), servers)
}

// Changed fills the table anew.
func (d *destinationHash) Changed(_, after []Server) { d.table = DestinationHashTable(len(after)) }

// at gives the server of a bucket, if it is usable.
func (t *Table) at(bucket uint8, servers []Server) (index int, ok bool) {
	i := t[bucket]
	if i == NoServer || !servers[i].usable() {
		return 0, false
	}
	return int(i), true
}
