package datapath

import (
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

// manyInterfaces makes a namespace with one of each kind.
func manyInterfaces(t *testing.T) {
	t.Helper()
	enterNamespace(t)
	add := func(link netlink.Link) {
		t.Helper()
		must(t, netlink.LinkAdd(link))
	}
	attrs := func(name string) netlink.LinkAttrs { return netlink.LinkAttrs{Name: name} }
	addVeth(t, "v4", "plain") // plain: no address
	addAddress(t, "v4", "192.0.2.1/24")
	addVeth(t, "v6", "down")
	addAddress(t, "v6", "2001:db8::1/64")
	addAddress(t, "down", "198.51.100.7/24")
	addVeth(t, "port", "linklocal")
	addAddress(t, "port", "198.51.100.1/24")
	addAddress(t, "linklocal", "fe80::77/64")
	add(&netlink.Bridge{LinkAttrs: attrs("docker0")})
	must(t, netlink.LinkSetMaster(device(t, "port"), device(t, "docker0")))
	add(&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "mac0", ParentIndex: device(t, "v4").Attrs().Index}})
	for _, name := range []string{"docker0", "mac0"} {
		must(t, netlink.LinkSetUp(device(t, name)))
		addAddress(t, name, "203.0.113.1/24")
	}
	addAddress(t, "lo", "203.0.113.2/32")
	must(t, netlink.LinkSetDown(device(t, "down")))
}

func TestChooseInterfaces(t *testing.T) {
	manyInterfaces(t)
	tests := []struct {
		name  string
		named []string
		env   string
		want  []string
		err   string
	}{
		{name: "those that fit", want: []string{"v4", "v6"}},
		{name: "environment", env: "v6, plain,,v6\tdocker0", want: []string{"v6", "plain", "docker0"}},
		{name: "empty environment", env: " ,", want: []string{"v4", "v6"}},
		{name: "named before environment", named: []string{"mac0", "mac0"}, env: "v6", want: []string{"mac0"}},
		{name: "unknown", named: []string{"v4", "nosuch0"}, err: `interface "nosuch0" does not exist`},
		{name: "unknown in environment", env: "nosuch0", err: `interface "nosuch0" does not exist`},
		{
			name: "name too long", named: []string{"an-impossible-interface-name"},
			err: `interface "an-impossible-interface-name" does not exist`,
		},
	}
	for _, test := range tests {
		// No subtest: it would run on another thread, in another namespace.
		t.Setenv("DROVER_INTERFACE", test.env)
		chosen, err := chooseInterfaces(test.named)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != test.err {
			t.Errorf("%s: error %q, want %q", test.name, text, test.err)
		}
		var got []string
		for _, i := range chosen {
			got = append(got, i.Name)
			if i.Index != device(t, i.Name).Attrs().Index {
				t.Errorf("%s: %s has index %d", test.name, i.Name, i.Index)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestNoInterface(t *testing.T) {
	enterNamespace(t)
	t.Setenv("DROVER_INTERFACE", "")
	addAddress(t, "lo", "203.0.113.2/32")
	if chosen, err := chooseInterfaces(nil); !errors.Is(err, ErrNoInterface) {
		t.Errorf("chosen %v, error %v", chosen, err)
	}
}

// Kinds that not every kernel can make.
func TestTakesPackets(t *testing.T) {
	up := netlink.LinkAttrs{Name: "x0", Index: 2, EncapType: "ether", Flags: net.FlagUp | net.FlagBroadcast}
	changed := func(change func(*netlink.LinkAttrs)) netlink.LinkAttrs {
		attrs := up
		change(&attrs)
		return attrs
	}
	port := changed(func(a *netlink.LinkAttrs) { a.MasterIndex = 9 })
	master := func(link netlink.Link) []netlink.Link { link.Attrs().Index = 9; return []netlink.Link{link} }
	tests := []struct {
		name   string
		device netlink.Link
		all    []netlink.Link
		want   bool
	}{
		{"physical", &netlink.Device{LinkAttrs: up}, nil, true},
		{"veth", &netlink.Veth{LinkAttrs: up}, nil, true},
		{"bond", &netlink.Bond{LinkAttrs: up}, nil, true},
		{"port of a bond", &netlink.Device{LinkAttrs: port}, master(&netlink.Bond{}), false},
		{"port of a bridge", &netlink.Veth{LinkAttrs: port}, master(&netlink.Bridge{}), false},
		{"member of a VRF", &netlink.Device{LinkAttrs: port}, master(&netlink.Vrf{}), true},
		{"bridge", &netlink.Bridge{LinkAttrs: up}, nil, false},
		{"VLAN", &netlink.Vlan{LinkAttrs: up}, nil, false},
		{"dummy", &netlink.Dummy{LinkAttrs: up}, nil, false},
		{"VRF", &netlink.Vrf{LinkAttrs: up}, nil, false},
		{"tunnel", &netlink.Iptun{LinkAttrs: up}, nil, false},
		{"wireguard", &netlink.Wireguard{LinkAttrs: up}, nil, false},
		{"down", &netlink.Device{LinkAttrs: changed(func(a *netlink.LinkAttrs) { a.Flags = 0 })}, nil, false},
		{"no Ethernet", &netlink.Device{LinkAttrs: changed(func(a *netlink.LinkAttrs) { a.EncapType = "ppp" })}, nil, false},
		{"loopback", &netlink.Device{LinkAttrs: changed(func(a *netlink.LinkAttrs) { a.Flags |= net.FlagLoopback })}, nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := takesPackets(test.device, test.all); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
