package ipvsadm

import (
	"encoding/binary"
	"net/netip"

	"drover/internal/lvs"
)

// ipvsadm compares unsigned numbers by the sign of their 32-bit difference, so that 224.0.0.1
// comes before 0.0.0.0. Such an order can be circular; what comes out then depends on the way of
// sorting, which is the merge sort of the C library here.

// difference is negative, zero or positive, as ipvsadm sees a and b.
func difference(a, b uint32) int { return int(int32(a - b)) }

func compareServices(a, b *lvs.ServiceState) int {
	if d := difference(a.Mark, b.Mark); d != 0 {
		return d
	}
	if a.Family != b.Family {
		return int(a.Family) - int(b.Family)
	}
	if a.Protocol != b.Protocol {
		return int(a.Protocol) - int(b.Protocol)
	}
	return compareEndpoints(a.Addr, b.Addr)
}

func compareDestinations(a, b *lvs.Destination) int { return compareEndpoints(a.Addr, b.Addr) }

func compareEndpoints(a, b netip.AddrPort) int {
	aw, bw := addressWords(a.Addr()), addressWords(b.Addr())
	words := 1
	if a.Addr().Is6() {
		words = 4
	}
	for i := range words {
		if d := difference(aw[i], bw[i]); d != 0 {
			return d
		}
	}
	return int(a.Port()) - int(b.Port())
}

// addressWords gives the four words of an IPv6 address; an IPv4 address is the first.
func addressWords(a netip.Addr) (words [4]uint32) {
	bytes := a.AsSlice()
	for i := range len(bytes) / 4 {
		words[i] = binary.BigEndian.Uint32(bytes[4*i:])
	}
	return words
}

func sortedDestinations(f format, svc *lvs.ServiceState) []lvs.Destination {
	if !f.sorted {
		return svc.Destinations
	}
	return mergeSort(svc.Destinations, compareDestinations)
}

// mergeSort gives a sorted copy: the halves, the first of which is the smaller, sorted and merged.
func mergeSort[T any](s []T, compare func(a, b *T) int) []T {
	if len(s) <= 1 {
		return s
	}
	a, b := mergeSort(s[:len(s)/2], compare), mergeSort(s[len(s)/2:], compare)
	merged := make([]T, 0, len(s))
	for len(a) > 0 && len(b) > 0 {
		if compare(&a[0], &b[0]) <= 0 {
			merged, a = append(merged, a[0]), a[1:]
		} else {
			merged, b = append(merged, b[0]), b[1:]
		}
	}
	return append(append(merged, a...), b...)
}
