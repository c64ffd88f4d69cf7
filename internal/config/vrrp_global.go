package config

import (
	"net/netip"
	"slices"
	"time"
)

// defaultVRRP is keepalived's.
func defaultVRRP() VRRPDefaults {
	return VRRPDefaults{
		Version: 2, DownTimerAdverts: 3,
		Multicast4: netip.AddrFrom4([4]byte{224, 0, 0, 18}), Multicast6: netip.MustParseAddr("ff02::12"),
		GARP: GARP{Delay: 5 * time.Second, Repeat: 5, LowerDelay: 5 * time.Second, LowerRepeat: 5, RefreshRepeat: 1},
	}
}

func defaults(b *builder) *VRRPDefaults { return &b.config.VRRP.Defaults }

var vrrpGlobals = &blockKind{name: "global_defs", rows: slices.Concat([]row{
	{"vrrp_version", Acted, "2 or 3; 2 by default", integer(2, 3, func(b *builder) *int { return &defaults(b).Version })},
	{"vrrp_strict", Checked, "only what the RFCs have", mark(func(b *builder) *bool { return &defaults(b).Strict })},
	{"vrrp_mcast_group4", Acted, "", group4or6(func(b *builder) *netip.Addr { return &defaults(b).Multicast4 })},
	{"vrrp_mcast_group6", Acted, "", group4or6(func(b *builder) *netip.Addr { return &defaults(b).Multicast6 })},
	{"default_interface", Checked, "of static addresses", word1(func(b *builder) *string { return &defaults(b).Interface })},
	{"vrrp_down_timer_adverts", Acted, "1 to 100", integer(1, 100, func(b *builder) *int { return &defaults(b).DownTimerAdverts })},
	{"vrrp_min_garp", Checked, "one message, and no second set", truth(func(b *builder) *bool { return &b.vrrp.minGARP })},
	{"vrrp_garp_interval", Checked, "seconds between gratuitous ARPs", vrrpTime(func(b *builder) *time.Duration { return &defaults(b).GARPInterval })},
	{"vrrp_gna_interval", Checked, "seconds between neighbour advertisements", vrrpTime(func(b *builder) *time.Duration { return &defaults(b).GNAInterval })},
	{"vrrp_startup_delay vrrp_delay_after_boot", Checked, "seconds before VRRP begins", vrrpTime(func(b *builder) *time.Duration { return &global(b).StartupDelay })},
	{"vrrp_skip_check_adv_addr", Acted, "", truth(func(b *builder) *bool { return &defaults(b).SkipCheckAddr })},
	{"vrrp_check_unicast_src", Acted, "", mark(func(b *builder) *bool { return &defaults(b).CheckUnicastSource })},
	{"vrrp_lower_prio_no_advert", Acted, "", truth(func(b *builder) *bool { return &defaults(b).LowerPrioNoAdvert })},
	{"vrrp_higher_prio_send_advert", Acted, "", truth(func(b *builder) *bool { return &defaults(b).HigherPrioSend })},
	{"vrrp_notify_priority_changes", Checked, "", truth(func(b *builder) *bool { return &defaults(b).NotifyPriority })},
	{"dynamic_interfaces", Acted, "[allow_if_changes]: interfaces may come later", func(b *builder, s *Statement) {
		if len(s.Words) > 1 && s.Words[1] != "allow_if_changes" {
			b.wrong(s, "%q: want allow_if_changes, or nothing", s.Words[1])
		}
		defaults(b).DynamicInterfaces = true
	}},
	{"log_unknown_vrids", Acted, "", mark(func(b *builder) *bool { return &defaults(b).LogUnknownVRIDs })},
	{"vrrp_owner_ignore_adverts", Noted, "of version 2.4: owner_ignore_adverts of an instance says it here", nil},
	{"vmac_prefix vmac_addr_prefix", Checked, "of names of interfaces", wantText},
	{"vrrp_iptables vrrp_ipsets nftables nftables_priority nftables_counters nftables_ifindex", Noted, "VIPs are kept from answering without netfilter", nil},
	{"vrrp_priority vrrp_no_swap vrrp_rt_priority vrrp_rlimit_rtime vrrp_rlimit_rttime vrrp_cpu_affinity", Noted, "have systemd set it for the process", nil},
	{"vrrp_netlink_cmd_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force " +
		"vrrp_rx_bufs_policy vrrp_rx_bufs_multiplier", Noted, "buffers are as large as they need to be", nil},
}, garpRows("vrrp_", func(b *builder) *garpBuild { return &b.vrrp.garp }))}

func wantText(b *builder, s *Statement) { b.text(s) }

func vrrpTime(at func(*builder) *time.Duration) reader1 {
	return func(b *builder, s *Statement) {
		if d, ok := b.timer(s, 0, longest); ok {
			*at(b) = d
		}
	}
}

func group4or6(at func(*builder) *netip.Addr) reader1 {
	return func(b *builder, s *Statement) {
		a, ok := b.address(s, b.text(s))
		switch {
		case !ok:
		case !a.IsMulticast() || a.Is4() != at(b).Is4():
			b.wrong(s, "%s: want a multicast address of the family: it is ignored", a)
		default:
			*at(b) = a
		}
	}
}

var vrrpRootRows = []row{
	{"vrrp_instance", Acted, "a virtual router", (*builder).readInstance},
	{"vrrp_sync_group", Acted, "instances that are MASTER together", (*builder).readSyncGroup},
	{"vrrp_script", Acted, "a program that is run over and over", (*builder).readVRRPScript},
	{"vrrp_track_process", Acted, "processes that must run", (*builder).readTrackProcess},
	{"garp_group", Checked, "interfaces on which messages keep apart", (*builder).readGARPGroup},
	{"static_ipaddress", Checked, "addresses that stay", vips(func(b *builder) *[]VIP { return &b.config.VRRP.StaticAddresses }, false)},
	{"static_routes", Checked, "as of ip route add", routes(func(b *builder) *[]Route { return &b.config.VRRP.StaticRoutes })},
	{"static_rules", Checked, "as of ip rule add", rules(func(b *builder) *[]Rule { return &b.config.VRRP.StaticRules })},
	{"track_group", Checked, "instances that look at static addresses", (*builder).readTrackGroup},
	{"interface_up_down_delays", Checked, "NAME DOWN [UP], in seconds", func(b *builder, s *Statement) {
		b.enter(&blockKind{name: "interface_up_down_delays", word: (*builder).readDelay}, s)
	}},
	{"bfd_instance", Refused, "BFD is not there yet", nil},
}

// bfdBlock is for the documentation: bfd_instance is refused as a whole.
var bfdBlock = &blockKind{name: "bfd_instance", rows: []row{
	{"neighbor_ip neighbour_ip source_ip min_rx min_tx idle_tx multiplier passive ttl hoplimit max_hops multihop weight name", Refused, "BFD is not there yet", nil},
}}
