// Package vrrp is the Virtual Router Redundancy Protocol: adverts as they are on the wire (versions 2 and 3, RFC 3768 and
// RFC 9568), what is wrong with one that arrives, the state of a virtual router and of a group of them, and tracking. All of
// that is without sockets and clocks; wire.go has the sockets, and runner.go joins the two.
package vrrp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Protocol is VRRP's number in IP (RFC 9568, Section 5.1.1.4).
const Protocol = 112

// AuthType says how a version 2 advert is authenticated (RFC 2338, Section 5.3.6, which RFC 3768 took away).
type AuthType uint8

// The types of authentication.
const (
	AuthNone AuthType = 0
	AuthPass AuthType = 1 // a password of up to 8 bytes, in clear text
	AuthAH   AuthType = 2 // an IP authentication header before the advert
)

const (
	typeAdvert    = 1
	headerSize    = 8
	authSize      = 8 // of version 2, there also without authentication
	maxAddresses  = 255
	centisecond   = 10 * time.Millisecond
	maxInterval3  = 4095 * centisecond // 12 bits
	versionShift  = 4
	intervalMask3 = 0x0fff
)

// An Advert is an ADVERTISEMENT.
type Advert struct {
	Version   int // 2 or 3
	VRID      uint8
	Priority  uint8         // 0: the master gives up
	Interval  time.Duration // version 2: whole seconds up to 255; version 3: hundredths up to 40.95 s
	Addresses []netip.Addr  // all of one family
	Auth      AuthType      // of version 2
	Password  [authSize]byte
}

// Marshal gives the advert for a datagram from source to destination, of the addresses' family. IPv6's checksum always covers a
// pseudo header. With IPv4 version 3's does with pseudo, as keepalived sends it, and not without, as RFC 9568 (Section 5.2.8)
// and other vendors have it.
func (a *Advert) Marshal(source, destination netip.Addr, pseudo bool) []byte {
	b := make([]byte, headerSize, headerSize+16*len(a.Addresses)+authSize)
	b[0] = byte(a.Version<<versionShift | typeAdvert)
	b[1], b[2], b[3] = a.VRID, a.Priority, byte(len(a.Addresses))
	if a.Version == 2 {
		b[4], b[5] = byte(a.Auth), byte(a.Interval/time.Second)
	} else {
		binary.BigEndian.PutUint16(b[4:], uint16(a.Interval/centisecond)&intervalMask3)
	}
	for _, addr := range a.Addresses {
		b = append(b, addr.AsSlice()...)
	}
	if a.Version == 2 {
		var password [authSize]byte
		if a.Auth == AuthPass {
			password = a.Password
		}
		b = append(b, password[:]...)
		binary.BigEndian.PutUint16(b[6:], checksum(b, 0))
		return b
	}
	sum := uint32(0)
	if pseudo || source.Is6() {
		sum = pseudoSum(source, destination, len(b))
	}
	binary.BigEndian.PutUint16(b[6:], checksum(b, sum))
	return b
}

// A ParseError says what is wrong with the form of an advert. Kind is that of Stats.
type ParseError struct {
	Kind   Fault
	Reason string
}

func (e *ParseError) Error() string { return e.Reason }

// Parse reads an advert of a family, whose addresses have size bytes: 4 or 16. Bytes behind it are padding. It does not check
// the checksum. Errors: *ParseError for a length, version or type that can't be.
func Parse(b []byte, size int) (*Advert, error) {
	if len(b) < headerSize {
		return nil, &ParseError{FaultLength, fmt.Sprintf("%d bytes, want at least %d", len(b), headerSize)}
	}
	a := &Advert{Version: int(b[0] >> versionShift), VRID: b[1], Priority: b[2]}
	if a.Version != 2 && a.Version != 3 {
		return nil, &ParseError{FaultVersion, fmt.Sprintf("version %d", a.Version)}
	}
	want := headerSize + int(b[3])*size
	if a.Version == 2 {
		want += authSize
	}
	if len(b) < want {
		return nil, &ParseError{FaultLength, fmt.Sprintf("%d bytes, want %d for %d addresses", len(b), want, b[3])}
	}
	if kind := b[0] & 0xf; kind != typeAdvert {
		return nil, &ParseError{FaultType, fmt.Sprintf("type %d, want %d", kind, typeAdvert)}
	}
	for i := range int(b[3]) {
		addr, _ := netip.AddrFromSlice(b[headerSize+i*size : headerSize+(i+1)*size])
		a.Addresses = append(a.Addresses, addr)
	}
	if a.Version == 2 {
		a.Auth, a.Interval = AuthType(b[4]), time.Duration(b[5])*time.Second
		copy(a.Password[:], b[want-authSize:])
	} else {
		a.Interval = time.Duration(binary.BigEndian.Uint16(b[4:])&intervalMask3) * centisecond
	}
	return a, nil
}

// ErrChecksum is the error of an advert that was changed on its way.
var ErrChecksum = errors.New("wrong checksum")

// VerifyChecksum checks an advert that Parse has read from b. With version 3 over IPv4 it accepts both the checksum with and
// the one without a pseudo header (see Marshal). Errors: ErrChecksum.
func (a *Advert) VerifyChecksum(b []byte, source, destination netip.Addr) error {
	if source.Is4() && checksum(b, 0) == 0 {
		return nil
	}
	if a.Version == 3 && checksum(b, pseudoSum(source, destination, len(b))) == 0 {
		return nil
	}
	return ErrChecksum
}

// checksum is that of RFC 1071, with a sum to begin with.
func checksum(b []byte, sum uint32) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// pseudoSum is that of a pseudo header: both addresses, the length and the protocol (RFC 8200, Section 8.1).
func pseudoSum(source, destination netip.Addr, length int) uint32 {
	sum := uint32(Protocol) + uint32(length)
	for _, addr := range []netip.Addr{source, destination} {
		for b := addr.AsSlice(); len(b) >= 2; b = b[2:] {
			sum += uint32(binary.BigEndian.Uint16(b))
		}
	}
	return sum
}
