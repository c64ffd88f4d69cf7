package lvs

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParseServiceKey reads what names a service on Drover's command lines: "tcp/192.0.2.1:80",
// "udp/[2001:db8::1]:53", "192.0.2.1:80" for TCP, "mark/7", "mark6/7" for the marked packets of IPv6.
func ParseServiceKey(text string) (ServiceKey, error) {
	kind, rest, ok := strings.Cut(text, "/")
	if !ok {
		kind, rest = "tcp", text
	}
	switch kind {
	case "tcp":
		return parseAddrKey(text, rest, TCP)
	case "udp":
		return parseAddrKey(text, rest, UDP)
	case "mark":
		return parseMarkKey(text, rest, IPv4)
	case "mark6":
		return parseMarkKey(text, rest, IPv6)
	}
	return ServiceKey{}, fmt.Errorf("service %q: want tcp/VIP:PORT, udp/VIP:PORT, mark/N or mark6/N", text)
}

func parseAddrKey(text, rest string, protocol Protocol) (ServiceKey, error) {
	addr, err := netip.ParseAddrPort(rest)
	if err != nil || addr.Addr().Zone() != "" {
		return ServiceKey{}, fmt.Errorf("service %q: want VIP:PORT, of IPv6 [VIP]:PORT", text)
	}
	return ServiceKey{Protocol: protocol, Addr: addr, Family: FamilyOf(addr.Addr())}, nil
}

func parseMarkKey(text, rest string, family Family) (ServiceKey, error) {
	mark, err := strconv.ParseUint(rest, 0, 32)
	if err != nil || mark == 0 {
		return ServiceKey{}, fmt.Errorf("service %q: want a mark from 1 to 4294967295", text)
	}
	return ServiceKey{Mark: uint32(mark), Family: family}, nil
}

// Text gives what ParseServiceKey reads.
func (k ServiceKey) Text() string {
	switch {
	case k.Mark != 0 && k.Family == IPv6:
		return fmt.Sprintf("mark6/%d", k.Mark)
	case k.Mark != 0:
		return fmt.Sprintf("mark/%d", k.Mark)
	}
	return strings.ToLower(k.Protocol.String()) + "/" + k.Addr.String()
}
