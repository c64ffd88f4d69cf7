package lvs

import "testing"

func TestParseServiceKey(t *testing.T) {
	for _, test := range []struct{ in, out string }{
		{"192.0.2.1:80", "tcp/192.0.2.1:80"},
		{"tcp/192.0.2.1:80", "tcp/192.0.2.1:80"},
		{"udp/[2001:db8::1]:53", "udp/[2001:db8::1]:53"},
		{"mark/0x10", "mark/16"},
		{"mark6/4294967295", "mark6/4294967295"},
	} {
		k, err := ParseServiceKey(test.in)
		if err != nil || k.Text() != test.out {
			t.Errorf("%s: %s, %v, want %s", test.in, k.Text(), err, test.out)
		}
	}
	for in, want := range map[string]string{
		"192.0.2.1":          `service "192.0.2.1": want VIP:PORT, of IPv6 [VIP]:PORT`,
		"tcp/2001:db8::1:80": `service "tcp/2001:db8::1:80": want VIP:PORT, of IPv6 [VIP]:PORT`,
		"tcp/[fe80::1%1]:80": `service "tcp/[fe80::1%1]:80": want VIP:PORT, of IPv6 [VIP]:PORT`,
		"sctp/192.0.2.1:80":  `service "sctp/192.0.2.1:80": want tcp/VIP:PORT, udp/VIP:PORT, mark/N or mark6/N`,
		"mark/0":             `service "mark/0": want a mark from 1 to 4294967295`,
		"mark/4294967296":    `service "mark/4294967296": want a mark from 1 to 4294967295`,
		"":                   `service "": want VIP:PORT, of IPv6 [VIP]:PORT`,
	} {
		if k, err := ParseServiceKey(in); err == nil || err.Error() != want {
			t.Errorf("%q: %v, %v, want %s", in, k, err, want)
		}
	}
}
