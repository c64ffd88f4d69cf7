package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A Datagram is what arrived for VRRP, without its IP header.
type Datagram struct {
	At                  time.Time
	Source, Destination netip.Addr
	TTL                 int // or hop limit; -1: not known
	Payload             []byte
}

// Expected is what the adverts of a virtual router must be like.
type Expected struct {
	VRID      uint8
	Version   int // this and Interval a Runner takes from the Settings
	Interval  time.Duration
	Addresses []netip.Addr
	Auth      AuthType
	Password  [authSize]byte
	Peers     []Peer // with them adverts are unicast; without, multicast
	// CheckSource drops what no peer sent (check_unicast_src); SkipAddresses does not look at the addresses
	// (skip_check_adv_addr).
	CheckSource, SkipAddresses bool
}

// A Peer is another router, by unicast. Its adverts have a TTL in a range, as they may be routed.
type Peer struct {
	Addr           netip.Addr
	MinTTL, MaxTTL int
}

const maxTTL = 255 // RFC 9568, Section 5.1.1.3: a router decreases it, so it is from the same link

// Stats are the counters of a virtual router, by keepalived's names.
type Stats struct {
	Received, Sent               uint64
	BecameMaster, ReleasedMaster uint64
	ZeroReceived, ZeroSent       uint64 // adverts with priority 0
	Faults                       map[Fault]uint64
}

// isWarning tells of a Fault whether nothing is dropped for it.
func isWarning(f Fault) bool { return f == FaultAddressList }

// Check reads a datagram, in keepalived's order of checks: length, TTL, version, authentication, interval, checksum, unicast or
// multicast, addresses, source. Errors: *ParseError; with a FaultAddressList the advert counts all the same, and is given.
func (e *Expected) Check(d *Datagram) (*Advert, error) {
	a, err := Parse(d.Payload, d.Source.BitLen()/8)
	if err != nil {
		var fault *ParseError
		if errors.As(err, &fault) && fault.Kind != FaultLength && len(e.Peers) == 0 && d.TTL >= 0 && d.TTL != maxTTL {
			return nil, wrongTTL(d.TTL, maxTTL, maxTTL)
		}
		return nil, err
	}
	for _, check := range []func(*Datagram, *Advert) error{
		e.checkTTL, e.checkVersion, e.checkAuth, e.checkInterval, e.checkSum, e.checkCast, e.checkSource, e.checkAddresses,
	} {
		if err := check(d, a); err != nil {
			var fault *ParseError
			if errors.As(err, &fault) && isWarning(fault.Kind) {
				return a, err
			}
			return nil, err
		}
	}
	return a, nil
}

func wrongTTL(got, low, high int) error {
	if low == high {
		return &ParseError{FaultTTL, fmt.Sprintf("TTL %d, want %d: it was routed, or is forged", got, low)}
	}
	return &ParseError{FaultTTL, fmt.Sprintf("TTL %d, want %d to %d", got, low, high)}
}

func (e *Expected) checkTTL(d *Datagram, _ *Advert) error {
	low, high := maxTTL, maxTTL
	if len(e.Peers) > 0 {
		low, high = 0, maxTTL
		if i := slices.IndexFunc(e.Peers, func(p Peer) bool { return p.Addr == d.Source }); i >= 0 {
			low, high = e.Peers[i].MinTTL, e.Peers[i].MaxTTL
		}
	}
	if d.TTL >= 0 && (d.TTL < low || d.TTL > high) {
		return wrongTTL(d.TTL, low, high)
	}
	return nil
}

func (e *Expected) checkVersion(_ *Datagram, a *Advert) error {
	if a.Version != e.Version {
		return &ParseError{FaultVersion, fmt.Sprintf("version %d, want %d", a.Version, e.Version)}
	}
	return nil
}

func (e *Expected) checkAuth(_ *Datagram, a *Advert) error {
	switch {
	case a.Version != 2:
	case a.Auth != AuthNone && a.Auth != AuthPass && a.Auth != AuthAH:
		return &ParseError{FaultAuthType, fmt.Sprintf("authentication type %d", a.Auth)}
	case a.Auth != e.Auth:
		return &ParseError{FaultAuthMatch, fmt.Sprintf("authentication %s, want %s", a.Auth, e.Auth)}
	case a.Auth == AuthPass && a.Password != e.Password:
		return &ParseError{FaultAuth, "another password"}
	}
	return nil
}

func (t AuthType) String() string {
	switch t {
	case AuthNone:
		return "none"
	case AuthPass:
		return "PASS"
	case AuthAH:
		return "AH"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// checkInterval: with version 2 both must have the same. With version 3 a backup follows its master's.
func (e *Expected) checkInterval(_ *Datagram, a *Advert) error {
	if a.Version == 2 && a.Interval != e.Interval {
		return &ParseError{FaultInterval, fmt.Sprintf("an advert each %v, want each %v", a.Interval, e.Interval)}
	}
	if a.Interval == 0 {
		return &ParseError{FaultInterval, "an advert each 0 s"}
	}
	return nil
}

func (e *Expected) checkSum(d *Datagram, a *Advert) error {
	if err := a.VerifyChecksum(d.Payload, d.Source, d.Destination); err != nil {
		return &ParseError{FaultChecksum, err.Error()}
	}
	return nil
}

func (e *Expected) checkCast(d *Datagram, _ *Advert) error {
	if unicast := len(e.Peers) > 0; d.Destination.IsValid() && unicast == d.Destination.IsMulticast() {
		return &ParseError{FaultCast, fmt.Sprintf("sent to %s, want it by %s", d.Destination, map[bool]string{true: "unicast", false: "multicast"}[unicast])}
	}
	return nil
}

func (e *Expected) checkSource(d *Datagram, _ *Advert) error {
	if e.CheckSource && len(e.Peers) > 0 && !slices.ContainsFunc(e.Peers, func(p Peer) bool { return p.Addr == d.Source }) {
		return &ParseError{FaultSource, fmt.Sprintf("%s is no peer", d.Source)}
	}
	return nil
}

func (e *Expected) checkAddresses(_ *Datagram, a *Advert) error {
	if e.SkipAddresses || a.Priority == 0 {
		return nil
	}
	if len(a.Addresses) != len(e.Addresses) {
		return &ParseError{FaultAddressList, fmt.Sprintf("%d addresses, want %d", len(a.Addresses), len(e.Addresses))}
	}
	for _, addr := range a.Addresses {
		if !slices.Contains(e.Addresses, addr) {
			return &ParseError{FaultAddressList, fmt.Sprintf("the address %s is not ours", addr)}
		}
	}
	return nil
}
