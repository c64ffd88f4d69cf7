package schedule

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"drover/internal/lvs"
)

// MaglevBuckets is the number of buckets that mh divides its clients among: ip_vs's default, a prime.
const MaglevBuckets = 4093

// A MaglevTable has the position in the server list that belongs to each bucket of mh, or NoMaglevServer.
type MaglevTable [MaglevBuckets]uint16

// NoMaglevServer is what every bucket has when no server has ever weighed anything.
const NoMaglevServer = 0xffff

// The keys of the two hashes, as ip_vs has them: both words of the SipHash key are the same.
const (
	maglevKey  = 2654435761 // of clients, and of where a server begins
	maglevSkip = 2654446892 // of how far apart the buckets are that a server asks for
)

// maglevTurnBits bounds the buckets that a server takes in one turn: fewer than 2 to this power.
const maglevTurnBits = 6

// NewMaglevTable fills the table of mh for a service of a family (Eisenbud et al., "Maglev", 2016, Section
// 3.4): the servers take turns, and each takes the next free buckets of its own permutation, as many as its
// weight asks for. It is the last weight that counts: a server edited to weight 0 keeps its buckets.
func NewMaglevTable(servers []Server, family lvs.Family) *MaglevTable {
	var t MaglevTable
	for b := range t {
		t[b] = NoMaglevServer
	}
	turns := maglevTurns(servers)
	next, skip := make([]uint32, len(servers)), make([]uint32, len(servers))
	any := false
	for i, s := range servers {
		v := foldAs(family, s.Addr.Addr()) + uint32(s.Addr.Port())
		next[i] = sipHash13(v, maglevKey) % MaglevBuckets
		skip[i] = sipHash13(v, maglevSkip)%(MaglevBuckets-1) + 1
		any = any || turns[i] > 0
	}
	if !any {
		return &t
	}
	for filled := 0; ; {
		for i := range servers {
			for range turns[i] {
				for t[next[i]] != NoMaglevServer {
					next[i] = (next[i] + skip[i]) % MaglevBuckets
				}
				t[next[i]] = uint16(i)
				if filled++; filled == MaglevBuckets {
					return &t
				}
			}
		}
	}
}

// maglevTurns gives how many buckets each server takes in a turn: its weight without the common divisor,
// cut down to few bits if the largest has many, and at least 1 of a weight that is not 0.
func maglevTurns(servers []Server) []int32 {
	var divisor, largest int32
	for _, s := range servers {
		divisor = gcd(divisor, s.LastWeight)
		largest = max(largest, s.LastWeight)
	}
	turns := make([]int32, len(servers))
	if divisor == 0 {
		return turns
	}
	shift := max(bits.Len32(uint32(largest/divisor))-maglevTurnBits, 0)
	for i, s := range servers {
		if s.LastWeight > 0 {
			turns[i] = max(s.LastWeight/divisor>>shift, 1)
		}
	}
	return turns
}

// foldAs makes 32 bits of a server's address as mh does, which goes by the family of the service: of an IPv6
// server behind an IPv4 VIP it takes the first word alone.
func foldAs(family lvs.Family, a netip.Addr) uint32 {
	if family == lvs.IPv4 && a.Is6() {
		b := a.As16()
		return binary.BigEndian.Uint32(b[:])
	}
	return Fold(a)
}

// sipHash13 is Linux's hsiphash of a 32-bit number on 64-bit machines: SipHash with one round for the data
// and three at the end (Aumasson and Bernstein, 2012), cut to its low 32 bits. Both words of the key are key.
func sipHash13(v uint32, key uint64) uint32 {
	s := sipState{key ^ 0x736f6d6570736575, key ^ 0x646f72616e646f6d, key ^ 0x6c7967656e657261, key ^ 0x7465646279746573}
	data := 4<<56 | uint64(v) // the length in bytes, and the bytes
	s[3] ^= data
	s.round()
	s[0] ^= data
	s[2] ^= 0xff
	for range 3 {
		s.round()
	}
	return uint32(s[0] ^ s[1] ^ s[2] ^ s[3])
}

type sipState [4]uint64

func (s *sipState) round() {
	s[0] += s[1]
	s[1] = bits.RotateLeft64(s[1], 13) ^ s[0]
	s[0] = bits.RotateLeft64(s[0], 32)
	s[2] += s[3]
	s[3] = bits.RotateLeft64(s[3], 16) ^ s[2]
	s[0] += s[3]
	s[3] = bits.RotateLeft64(s[3], 21) ^ s[0]
	s[2] += s[1]
	s[1] = bits.RotateLeft64(s[1], 17) ^ s[2]
	s[2] = bits.RotateLeft64(s[2], 32)
}
