package vrrp

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// compareAddrs has cmp compare addresses as they are.
var compareAddrs = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// TestKeepalivedAdverts reads and makes adverts that keepalived 2.2.7 sent.
func TestKeepalivedAdverts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, bytes string
		want        Advert
	}{
		{
			"version 2 with a password", "213396010101cfde0a090064" + hex.EncodeToString([]byte("secret12")),
			Advert{Version: 2, VRID: 51, Priority: 150, Interval: time.Second, Addresses: []netip.Addr{addr("10.9.0.100")}, Auth: AuthPass, Password: [8]byte([]byte("secret12"))},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := hex.DecodeString(c.bytes)
			if err != nil {
				t.Fatal(err)
			}
			source, all := addr("10.9.0.1"), addr("224.0.0.18")
			got, err := Parse(b, 4)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got, compareAddrs); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			if err := got.VerifyChecksum(b, source, all); err != nil {
				t.Error(err)
			}
			if made := got.Marshal(source, all, true); hex.EncodeToString(made) != c.bytes {
				t.Errorf("made %x, want %s", made, c.bytes)
			}
		})
	}
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	four, six := []netip.Addr{addr("192.0.2.100"), addr("192.0.2.101")}, []netip.Addr{addr("fe80::100"), addr("2001:db8::100")}
	for _, c := range []struct {
		name        string
		advert      Advert
		source, all netip.Addr
		pseudo      bool
	}{
		{"version 2", Advert{Version: 2, VRID: 1, Priority: 100, Interval: time.Second, Addresses: four}, addr("192.0.2.1"), addr("224.0.0.18"), false},
		{"version 3 as RFC 9568", Advert{Version: 3, VRID: 255, Priority: 255, Interval: maxInterval3, Addresses: four}, addr("192.0.2.1"), addr("224.0.0.18"), false},
		{"version 3 as keepalived", Advert{Version: 3, VRID: 1, Priority: 1, Interval: centisecond, Addresses: four}, addr("192.0.2.1"), addr("224.0.0.18"), true},
		{"IPv6", Advert{Version: 3, VRID: 7, Priority: 0, Interval: time.Second, Addresses: six}, addr("fe80::1"), addr("ff02::12"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.advert.Marshal(c.source, c.all, c.pseudo)
			got, err := Parse(b, c.source.BitLen()/8)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.advert, got, compareAddrs); diff != "" {
				t.Errorf("(-sent +read):\n%s", diff)
			}
			if err := got.VerifyChecksum(b, c.source, c.all); err != nil {
				t.Error(err)
			}
			for i := range b { // one bit that changes is seen
				b[i] ^= 0x10
				if err := got.VerifyChecksum(b, c.source, c.all); !errors.Is(err, ErrChecksum) {
					t.Errorf("byte %d changed: %v", i, err)
				}
				b[i] ^= 0x10
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	whole := (&Advert{Version: 2, VRID: 1, Priority: 100, Interval: time.Second, Addresses: []netip.Addr{addr("192.0.2.100")}}).Marshal(addr("192.0.2.1"), addr("224.0.0.18"), false)
	with := func(i int, value byte) []byte {
		b := append([]byte(nil), whole...)
		b[i] = value
		return b
	}
	for _, c := range []struct {
		name  string
		bytes []byte
		want  Fault
	}{
		{"nothing", nil, FaultLength},
		{"no whole header", whole[:7], FaultLength},
		{"no authentication", whole[:len(whole)-1], FaultLength},
		{"more addresses than there are", with(3, 2), FaultLength},
		{"version 4", with(0, 0x41), FaultVersion},
		{"type 2", with(0, 0x22), FaultType},
	} {
		var fault *ParseError
		if _, err := Parse(c.bytes, 4); !errors.As(err, &fault) || fault.Kind != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if _, err := Parse(append(whole, 0, 0, 0), 4); err != nil {
		t.Errorf("padding: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	source, all := addr("192.0.2.1"), addr("224.0.0.18")
	for _, version := range []int{2, 3} {
		f.Add((&Advert{Version: version, VRID: 1, Priority: 100, Interval: time.Second, Addresses: []netip.Addr{addr("192.0.2.100")}}).Marshal(source, all, true))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Parse(b, 4)
		if err != nil {
			return
		}
		made := a.Marshal(source, all, false)
		again, err := Parse(made, 4)
		if err != nil {
			t.Fatalf("%x made of %x: %v", made, b, err)
		}
		if a.Auth != AuthPass { // what stands there in its place has no meaning
			a.Password = [authSize]byte{}
		}
		if diff := cmp.Diff(a, again, compareAddrs); diff != "" {
			t.Errorf("(-read +read again):\n%s", diff)
		}
		if err := again.VerifyChecksum(made, source, all); err != nil {
			t.Error(err)
		}
	})
}
