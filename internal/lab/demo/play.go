package demo

import (
	"fmt"
	"net/netip"

	"drover/internal/lab"
)

// A play is what differs between the modes.
type play struct {
	mode       lab.Mode
	scheduler  string
	forwarding string // ipvsadm's flag
	port       uint16 // of the servers
	weights    []int  // of lab.Servers
	networks   []string
}

var plays = map[lab.Mode]play{
	lab.DR: {
		mode: lab.DR, scheduler: "wrr", forwarding: "-g", port: 80,
		weights: []int{3, 2, 1}, networks: []string{"front"},
	},
	lab.NAT: {
		mode: lab.NAT, scheduler: "rr", forwarding: "-m", port: 8080,
		weights: []int{1, 1, 1}, networks: []string{"front", "back"},
	},
	lab.TUN: {
		mode: lab.TUN, scheduler: "rr", forwarding: "-i", port: 80,
		weights: []int{1, 1, 1}, networks: []string{"front", "back"},
	},
}

// commands are a tutorial's.
func (p play) commands(t *lab.Topology, f lab.Family) []string {
	vip := service(t, f)
	lines := []string{fmt.Sprintf("ipvsadm -A -t %v -s %s", vip, p.scheduler)}
	for i, rs := range lab.Servers {
		server := netip.AddrPortFrom(t.Addr(rs, f), p.port)
		lines = append(lines, fmt.Sprintf("ipvsadm -a -t %v -r %v %s -w %d", vip, server, p.forwarding, p.weights[i]))
	}
	return append(lines, "ipvsadm -Ln")
}

// Share is one server's part of the answers.
type Share struct {
	Server  string `json:"server"`
	Weight  int    `json:"weight"`
	Answers int    `json:"answers"`
	Want    int    `json:"want"` // what its weight gives it
}

func (p play) shares() []Share {
	total := 0
	for _, w := range p.weights {
		total += w
	}
	var shares []Share
	for i, rs := range lab.Servers {
		shares = append(shares, Share{Server: rs, Weight: p.weights[i], Want: requests * p.weights[i] / total})
	}
	return shares
}
