package vrrp

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	peer, all, vip := addr("192.0.2.2"), addr("224.0.0.18"), addr("192.0.2.100")
	expected := Expected{Version: 2, VRID: 51, Interval: time.Second, Addresses: []netip.Addr{vip}, Auth: AuthPass, Password: [8]byte{'s'}}
	type change struct {
		expected func(*Expected)
		advert   func(*Advert)
		datagram func(*Datagram)
	}
	unicast := func(e *Expected) { e.Peers = []Peer{{addr("192.0.2.3"), 255, 255}} }
	for _, c := range []struct {
		name string
		change
		want   Fault
		reason string
	}{
		{"as it should be", change{}, "", ""},
		{"a router was between", change{datagram: func(d *Datagram) { d.TTL = 254 }}, FaultTTL, "TTL 254, want 255: it was routed, or is forged"},
		{"another version", change{expected: func(e *Expected) { e.Version = 3 }}, FaultVersion, "version 2, want 3"},
		{"unknown authentication", change{advert: func(a *Advert) { a.Auth = 9 }}, FaultAuthType, "authentication type 9"},
		{"no authentication", change{advert: func(a *Advert) { a.Auth = AuthNone }}, FaultAuthMatch, "authentication none, want PASS"},
		{"another password", change{advert: func(a *Advert) { a.Password[1] = 'x' }}, FaultAuth, "another password"},
		{"another interval", change{advert: func(a *Advert) { a.Interval = 2 * time.Second }}, FaultInterval, "an advert each 2s, want each 1s"},
		{"changed on its way", change{datagram: func(d *Datagram) { d.Payload[2]++ }}, FaultChecksum, "wrong checksum"},
		{"unicast", change{datagram: func(d *Datagram) { d.Destination = addr("192.0.2.1") }}, FaultCast, "sent to 192.0.2.1, want it by multicast"},
		{"multicast", change{expected: unicast}, FaultCast, "sent to 224.0.0.18, want it by unicast"},
		{"no peer", change{expected: func(e *Expected) { unicast(e); e.CheckSource = true }, datagram: func(d *Datagram) { d.Destination = addr("192.0.2.1") }}, FaultSource, "192.0.2.2 is no peer"},
		{"another address", change{advert: func(a *Advert) { a.Addresses[0] = addr("192.0.2.101") }}, FaultAddressList, "the address 192.0.2.101 is not ours"},
		{"two addresses", change{advert: func(a *Advert) { a.Addresses = append(a.Addresses, vip) }}, FaultAddressList, "2 addresses, want 1"},
		{"not looked at", change{expected: func(e *Expected) { e.SkipAddresses = true }, advert: func(a *Advert) { a.Addresses = nil }}, "", ""},
		{"padding", change{datagram: func(d *Datagram) { d.Payload = append(d.Payload, 0, 0) }}, "", ""},
		{"cut off", change{datagram: func(d *Datagram) { d.Payload = d.Payload[:15] }}, FaultLength, "15 bytes, want 20 for 1 addresses"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := expected
			a := &Advert{Version: 2, VRID: 51, Priority: 100, Interval: time.Second, Addresses: []netip.Addr{vip}, Auth: AuthPass, Password: [8]byte{'s'}}
			if c.expected != nil {
				c.expected(&e)
			}
			if c.advert != nil {
				c.advert(a)
			}
			d := &Datagram{Source: peer, Destination: all, TTL: 255, Payload: a.Marshal(peer, all, true)}
			if c.datagram != nil {
				c.datagram(d)
			}
			got, err := e.Check(d)
			var fault *ParseError
			switch {
			case c.want == "":
				if err != nil || got == nil {
					t.Errorf("%v, %v", got, err)
				}
			case !errors.As(err, &fault) || fault.Kind != c.want || fault.Reason != c.reason:
				t.Errorf("%v, want %s: %s", err, c.want, c.reason)
			case (got != nil) != (c.want == FaultAddressList):
				t.Errorf("advert %v for %s", got, c.want)
			}
		})
	}
}
