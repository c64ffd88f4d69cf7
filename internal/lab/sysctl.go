package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
)

type sysctl struct{ name, value string }

// segmentSysctls keep the bridges and their ports without addresses of their own.
var segmentSysctls = []sysctl{
	{"net/ipv6/conf/all/disable_ipv6", "1"},
	{"net/ipv6/conf/default/disable_ipv6", "1"},
}

// perInterface are set for conf/all, for what exists, and for conf/default, for what comes.
var perInterface = []sysctl{
	{"net/ipv4/conf/%s/rp_filter", "0"},        // replies of DR come from where no route to the VIP points
	{"net/ipv4/conf/%s/send_redirects", "0"},   // a one-armed director would send its clients past itself
	{"net/ipv4/conf/%s/accept_redirects", "0"}, //
	{"net/ipv4/conf/%s/arp_ignore", "0"},       // a new namespace may inherit the machine's (devconf_inherit_init_net)
	{"net/ipv4/conf/%s/arp_announce", "0"},     //
	{"net/ipv6/conf/%s/accept_dad", "0"},       // addresses are usable at once
	{"net/ipv6/conf/%s/accept_ra", "0"},        //
	{"net/ipv6/conf/%s/accept_redirects", "0"}, //
}

// prepareNode sets the sysctls of a node before it has interfaces, and brings lo up.
func (l *Lab) prepareNode(node string) error {
	disable6, forward := "0", "0"
	if l.Config.Family == V4 {
		disable6 = "1"
	}
	if l.Topology.forwards[node] {
		forward = "1"
	}
	var all []sysctl
	for _, where := range []string{"all", "default"} {
		for _, s := range perInterface {
			all = append(all, sysctl{fmt.Sprintf(s.name, where), s.value})
		}
		all = append(all,
			sysctl{"net/ipv6/conf/" + where + "/disable_ipv6", disable6},
			sysctl{"net/ipv6/conf/" + where + "/forwarding", forward},
		)
	}
	// ip_forward resets other values (ip-sysctl.rst), so it goes first.
	all = slices.Insert(all, 0, sysctl{"net/ipv4/ip_forward", forward})
	if err := setSysctls(all); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	return netlink.LinkSetUp(lo)
}

// setSysctls writes values of the network namespace of the thread.
func setSysctls(all []sysctl) error {
	for _, s := range all {
		if err := os.WriteFile(filepath.Join("/proc/sys", s.name), []byte(s.value), 0o644); err != nil {
			return fmt.Errorf("set sysctl %s to %s: %w", s.name, s.value, err)
		}
	}
	return nil
}
