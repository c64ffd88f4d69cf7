package vrrp

// A Fault is what is wrong with a datagram. The words are keepalived's where it counts the same.
type Fault string

// What can be wrong.
const (
	FaultLength      Fault = "length"
	FaultTTL         Fault = "ttl"
	FaultVersion     Fault = "version"
	FaultAuthType    Fault = "invalid auth type"
	FaultAuthMatch   Fault = "auth type mismatch"
	FaultAuth        Fault = "auth failure"
	FaultInterval    Fault = "advertisement interval"
	FaultType        Fault = "invalid type"
	FaultChecksum    Fault = "checksum"
	FaultCast        Fault = "unicast and multicast"
	FaultAddressList Fault = "address list"
	FaultVRID        Fault = "unknown vrid"
	FaultSource      Fault = "unknown source"
)
