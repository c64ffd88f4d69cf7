// Package lvs holds the values of a Linux Virtual Server: services, destinations, connections,
// timeouts, and the errors that IPVS answers with. It has no behaviour beyond parsing and printing
// its own names, and imports nothing of Drover's.
package lvs

import (
	"fmt"
	"net/netip"
	"time"
)

// Protocol is an IP protocol number of a service (IANA "Assigned Internet Protocol Numbers").
type Protocol uint8

// The protocols that IPVS balances. FWMark services have no protocol.
const (
	ProtocolNone Protocol = 0
	TCP          Protocol = 6
	UDP          Protocol = 17
	SCTP         Protocol = 132
)

// String gives the name that ipvsadm prints: TCP, UDP, SCTP.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return fmt.Sprintf("Protocol(%d)", uint8(p))
}

// Family is an address family.
type Family uint8

// The two address families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf tells the family of an address; an IPv4-mapped IPv6 address counts as IPv6.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// ServiceKey names one virtual service: protocol, VIP and port, or a firewall mark.
type ServiceKey struct {
	Protocol Protocol       // ProtocolNone for a firewall-mark service
	Addr     netip.AddrPort // VIP and port; the zero value for a firewall-mark service
	Mark     uint32         // not 0: a firewall-mark service
	Family   Family         // of the VIP, or of the marked packets
}

// String gives "TCP 192.0.2.1:80", "TCP [2001:db8::1]:80" or "FWM 1".
func (k ServiceKey) String() string {
	if k.Mark != 0 {
		return fmt.Sprintf("FWM %d", k.Mark)
	}
	return k.Protocol.String() + " " + k.Addr.String()
}

// ServiceFlags are the switches of a service; the bit values are those of IP_VS_SVC_F_*
// in linux/ip_vs.h, which ipvsadm-save and the sync protocol also use.
type ServiceFlags uint32

// The service flags.
const (
	Persistent ServiceFlags = 0x1  // -p
	OnePacket  ServiceFlags = 0x4  // -o
	SchedFlag1 ServiceFlags = 0x8  // sh-fallback, mh-fallback, flag-1
	SchedFlag2 ServiceFlags = 0x10 // sh-port, mh-port, flag-2
	SchedFlag3 ServiceFlags = 0x20 // flag-3
)

// Service is a virtual service as configured, with its counters when it was read.
type Service struct {
	ServiceKey
	Scheduler string // "rr", "wrr", "wlc", ...
	Flags     ServiceFlags
	Timeout   time.Duration // of persistence, whole seconds; 0 without Persistent
	Netmask   netip.Addr    // IPv4 persistence mask; invalid or 255.255.255.255 means one client each
	PrefixLen int           // IPv6 persistence prefix length, 1 to 128; 0 and 128 mean one client each
	PE        string        // persistence engine ("sip"), or empty
	Stats     Stats
}

// Forwarding is the way that packets reach a real server. The values are those of
// IP_VS_CONN_F_* in linux/ip_vs.h.
type Forwarding uint8

// The forwarding methods.
const (
	Masquerade  Forwarding = 0 // NAT
	LocalNode   Forwarding = 1
	Tunnel      Forwarding = 2
	DirectRoute Forwarding = 3
	Bypass      Forwarding = 4
)

// String gives the word of ipvsadm's listing: Masq, Local, Tunnel, Route, Bypass.
func (f Forwarding) String() string {
	switch f {
	case Masquerade:
		return "Masq"
	case LocalNode:
		return "Local"
	case Tunnel:
		return "Tunnel"
	case DirectRoute:
		return "Route"
	case Bypass:
		return "Bypass"
	}
	return fmt.Sprintf("Forwarding(%d)", uint8(f))
}

// TunnelType is the encapsulation of a Tunnel destination.
type TunnelType uint8

// The tunnel types, valued as IP_VS_CONN_F_TUNNEL_TYPE_*.
const (
	IPIP TunnelType = 0
	GUE  TunnelType = 1
	GRE  TunnelType = 2
)

// TunnelFlags are the options of GUE and GRE, valued as IP_VS_TUNNEL_ENCAP_FLAG_*.
type TunnelFlags uint16

// The tunnel flags.
const (
	TunnelNoChecksum     TunnelFlags = 0
	TunnelChecksum       TunnelFlags = 1
	TunnelRemoteChecksum TunnelFlags = 2
)

// Destination is one real server of a service, with its counters when it was read.
type Destination struct {
	Addr        netip.AddrPort // RIP and port
	Forwarding  Forwarding
	Weight      int32  // 0 takes no new connections
	Upper       uint32 // -x, connections; 0: none
	Lower       uint32 // -y, connections; 0: none
	Drain       bool   // its persistent clients leave when their last connection has ended
	TunnelType  TunnelType
	TunnelPort  uint16 // GUE
	TunnelFlags TunnelFlags

	ActiveConns  uint32
	InactConns   uint32
	PersistConns uint32
	Stats        Stats
}

// Stats are counters since they were last zeroed (-Z), and rates over the last seconds.
type Stats struct {
	Conns, InPkts, OutPkts, InBytes, OutBytes uint64
	Rate                                      Rate
}

// Rate is what --rate prints, per second.
type Rate struct {
	CPS, InPPS, OutPPS, InBPS, OutBPS uint64
}

// ServiceState is a service and its destinations in the order in which its scheduler walks them:
// the newest first, as ip_vs keeps them.
type ServiceState struct {
	Service
	Destinations []Destination
}

// State is the state of a connection. TCP's values are those that the sync protocol carries
// (IP_VS_TCP_S_*, linux/ip_vs.h).
type State uint8

// The TCP states.
const (
	StateNone State = iota
	StateEstablished
	StateSynSent
	StateSynRecv
	StateFinWait
	StateTimeWait
	StateClose
	StateCloseWait
	StateLastAck
	StateListen
	StateSynAck
)

var tcpStateNames = [...]string{
	"NONE", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
	"LAST_ACK", "LISTEN", "SYNACK",
}

// StateName gives the word of ipvsadm -Lc: TCP's state, or "UDP" for UDP's only one.
func StateName(p Protocol, s State) string {
	switch {
	case p == UDP:
		return "UDP"
	case int(s) < len(tcpStateNames):
		return tcpStateNames[s]
	}
	return "ERR!"
}

// Connection is one entry of the connection table.
type Connection struct {
	Protocol    Protocol
	Client      netip.AddrPort
	Virtual     netip.AddrPort
	Destination netip.AddrPort
	State       State
	Template    bool // a persistence template, printed as ASSURED or NONE by ipvsadm
	Expires     time.Duration
	Forwarding  Forwarding
	Active      bool   // counted in ActiveConn, else in InActConn
	PEName      string // persistence engine of a template, or empty
	PEData      string
}

// Timeouts are those that --set changes; zero leaves one as it is.
type Timeouts struct {
	TCP    time.Duration // ESTABLISHED
	TCPFin time.Duration // FIN_WAIT
	UDP    time.Duration
}

// DefaultTimeouts are those of a fresh ip_vs.
var DefaultTimeouts = Timeouts{TCP: 900 * time.Second, TCPFin: 120 * time.Second, UDP: 300 * time.Second}

// TCPStates is the number of TCP states, which begin at StateNone.
const TCPStates = len(tcpStateNames)

// ServiceTimeouts are one service's own; zero takes that of all services.
type ServiceTimeouts struct {
	UDP time.Duration
	TCP [TCPStates]time.Duration // by State
}
