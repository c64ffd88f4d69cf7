package ipvsadm

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// ipv4Address reads an IPv4 address as inet_aton(3) does: one to four parts, decimal, octal or
// hexadecimal, the last of which fills all the bytes that are left ("10.1", "0xa000001"). What
// follows a blank is ignored.
func ipv4Address(s string) (netip.Addr, bool) {
	if i := strings.IndexAny(s, blanks); i >= 0 {
		s = s[:i]
	}
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var address uint32
	for i, part := range parts {
		bytes := 1 // that this part fills
		if i == len(parts)-1 {
			bytes = 4 - i
		}
		n, ok := ipv4Part(part)
		if !ok || n >= 1<<(8*bytes) {
			return netip.Addr{}, false
		}
		address |= uint32(n) << (8 * (4 - i - bytes))
	}
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, address))), true
}

func ipv4Part(s string) (uint64, bool) {
	base := 10
	switch {
	case len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X"):
		base, s = 16, s[2:]
	case len(s) > 1 && s[0] == '0':
		base, s = 8, s[1:]
	}
	n, err := strconv.ParseUint(s, base, 32)
	return n, err == nil
}
