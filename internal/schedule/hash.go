package schedule

import (
	"encoding/binary"
	"net/netip"
)

// A Table has the position in the server list that belongs to each bucket of sh and dh, or NoServer.
type Table [256]int32

// NoServer is what every bucket of a service without servers has.
const NoServer = -1

// goldenRatio32 is 2^32 divided by the golden ratio, rounded: the factor of multiplicative hashing that
// Linux takes (linux/hash.h, GOLDEN_RATIO_32).
const goldenRatio32 = 0x61C88647

// Hash32 is Linux's hash_32 to 8 bits: the number of a Table's bucket.
func Hash32(v uint32) uint8 { return uint8(v * goldenRatio32 >> 24) }

// Fold makes 32 bits of an address to be hashed: an IPv4 address as it is, of an IPv6 address the exclusive
// or of its four words. An IPv4-mapped IPv6 address counts as IPv6.
func Fold(a netip.Addr) uint32 {
	if a.Is4() {
		b := a.As4()
		return binary.BigEndian.Uint32(b[:])
	}
	b := a.As16()
	var v uint32
	for i := 0; i < len(b); i += 4 {
		v ^= binary.BigEndian.Uint32(b[i:])
	}
	return v
}

// SourceHashTable fills the table of sh for servers with these weights: in list order, over and over, each
// server as many buckets as its weight. A server of weight 0 gets one all the same, whose clients are refused
// or fall back.
func SourceHashTable(weights []int32) Table {
	return fill(len(weights), func(i int) int32 { return weights[i] })
}

// DestinationHashTable fills the table of dh for n servers: in list order, over and over, one bucket each.
func DestinationHashTable(n int) Table {
	return fill(n, func(int) int32 { return 1 })
}

// fill goes round n servers, giving each weight(i) buckets and at least one.
func fill(n int, weight func(i int) int32) Table {
	var t Table
	server, filled := 0, int32(0)
	for b := range t {
		if n == 0 {
			t[b] = NoServer
			continue
		}
		t[b] = int32(server)
		filled++
		if filled >= weight(server) {
			server, filled = (server+1)%n, 0
		}
	}
	return t
}
