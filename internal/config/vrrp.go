package config

import (
	"math"
	"slices"
	"strings"
	"time"
)

// VRRP is what a configuration says of VRRP. Its blocks are read and checked; they are acted on when VRRP is there.
type VRRP struct {
	Instances []Instance
	Groups    []SyncGroup
}

// An Instance is a vrrp_instance block, as far as it is checked.
type Instance struct {
	At        Position
	Name      string
	Interface string
	VRID      int
	Priority  int  // 0: not said
	Master    bool // state MASTER
	AH        bool // auth_type AH
	VIPs      []string
}

// A SyncGroup is a vrrp_sync_group block.
type SyncGroup struct {
	At      Position
	Name    string
	Members []string
}

// checked gives a row for each of some keywords.
func checked(read reader1, names ...string) []row {
	rows := make([]row, len(names))
	for i, name := range names {
		rows[i] = row{name, Checked, "", read}
	}
	return rows
}

func wantNumber(low, high int) reader1 {
	return func(b *builder, s *Statement) { b.number(s, low, high) }
}

func wantTimer(least, most time.Duration) reader1 {
	return func(b *builder, s *Statement) { b.timer(s, least, most) }
}

func wantTruth(b *builder, s *Statement) { b.boolean(s) }

func wantScript(b *builder, s *Statement) { b.script(s) }

func wantAddress(b *builder, s *Statement) { b.address(s, b.text(s)) }

func wantText(b *builder, s *Statement) { b.text(s) }

func anything(*builder, *Statement) {}

// list is a kind of block with words of its own.
func list(name string, word reader1) reader1 {
	kind := &blockKind{name: name, word: word}
	return func(b *builder, s *Statement) { b.walk(kind, s.Block) }
}

// wantWeighted reads "NAME [weight N [reverse|noreverse]]".
func wantWeighted(b *builder, s *Statement) {
	if len(s.Words) > 2 && s.Words[1] == "weight" {
		b.numberIn(s, s.Words[2], -254, 254)
	}
}

var vrrpGlobals = &blockKind{name: "global_defs", rows: slices.Concat(
	checked(wantAddress, "vrrp_mcast_group4", "vrrp_mcast_group6"),
	checked(wantText, "default_interface"),
	checked(wantNumber(2, 3), "vrrp_version"),
	checked(wantNumber(0, math.MaxInt32), "vrrp_garp_master_delay", "vrrp_garp_master_repeat", "vrrp_garp_master_refresh", "vrrp_garp_master_refresh_repeat",
		"vrrp_garp_lower_prio_delay", "vrrp_garp_lower_prio_repeat", "vrrp_startup_delay", "vrrp_delay_after_boot", "vrrp_down_timer_adverts"),
	checked(wantTimer(0, longest), "vrrp_garp_interval", "vrrp_gna_interval", "vrrp_vmac_garp_intvl vmac_garp_intvl", "vrrp_garp_extra_if garp_extra_if"),
	checked(wantTruth, "vrrp_strict", "vrrp_skip_check_adv_addr", "vrrp_check_unicast_src", "vrrp_higher_prio_send_advert", "vrrp_lower_prio_no_advert",
		"vrrp_owner_ignore_adverts", "vrrp_notify_priority_changes", "vrrp_min_garp", "dynamic_interfaces", "log_unknown_vrids"),
	checked(anything, "vmac_prefix", "vmac_addr_prefix"),
	[]row{
		{"vrrp_iptables vrrp_ipsets nftables nftables_priority nftables_counters nftables_ifindex", Noted, "VIPs are kept from answering without netfilter", nil},
		{"vrrp_priority vrrp_no_swap vrrp_rt_priority vrrp_rlimit_rtime vrrp_rlimit_rttime vrrp_cpu_affinity", Noted, "have systemd set it for the process", nil},
		{"vrrp_netlink_cmd_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force " +
			"vrrp_rx_bufs_policy vrrp_rx_bufs_multiplier", Noted, "buffers are as large as they need to be", nil},
	},
)}

var vrrpRootRows = []row{
	{"vrrp_instance", Checked, "", (*builder).readInstance},
	{"vrrp_sync_group", Checked, "", (*builder).readSyncGroup},
	{"vrrp_script", Checked, "", (*builder).readVRRPScript},
	{"vrrp_track_process track_process", Checked, "", named(trackProcessBlock)},
	{"garp_group", Checked, "", func(b *builder, s *Statement) { opens(garpBlock)(b, s) }},
	{"static_ipaddress", Checked, "", list("static_ipaddress", anything)},
	{"static_routes", Checked, "", list("static_routes", anything)},
	{"static_rules", Checked, "", list("static_rules", anything)},
	{"track_group", Checked, "", named(&blockKind{name: "track_group", rows: []row{{"group", Checked, "", anything}}})},
	{"bfd_instance", Refused, "BFD is not there yet", nil},
}

// bfdBlock is for the documentation: bfd_instance is refused as a whole.
var bfdBlock = &blockKind{name: "bfd_instance", rows: []row{
	{"neighbor_ip neighbour_ip source_ip min_rx min_tx idle_tx multiplier passive ttl hoplimit max_hops multihop weight name", Refused, "BFD is not there yet", nil},
}}

// named reads a block that has a name.
func named(kind *blockKind) reader1 {
	return func(b *builder, s *Statement) {
		if b.text(s) != "" {
			b.walk(kind, s.Block)
		}
	}
}

var vrrpScriptBlock = &blockKind{name: "vrrp_script", rows: slices.Concat(
	checked(func(b *builder, s *Statement) {
		b.script(s)
		b.vrrp.script = s
	}, "script"),
	checked(wantTimer(time.Microsecond, longest), "interval", "timeout"),
	checked(func(b *builder, s *Statement) { b.number(s, -254, 254) }, "weight"),
	checked(wantNumber(1, math.MaxInt32), "rise", "fall"),
	checked(wantText, "user"),
	checked(anything, "init_fail"),
)}

var trackProcessBlock = &blockKind{name: "vrrp_track_process", rows: slices.Concat(
	checked(wantText, "process"),
	checked(anything, "param_match", "full_command"),
	checked(func(b *builder, s *Statement) { b.number(s, -254, 254) }, "weight"),
	checked(wantNumber(1, 65535), "quorum", "quorum_max"),
	checked(wantTimer(0, longest), "delay", "fork_delay", "terminate_delay"),
)}

var garpBlock = &blockKind{name: "garp_group", rows: slices.Concat(
	checked(wantTimer(0, longest), "garp_interval", "gna_interval"),
	checked(wantText, "interface"),
	checked(list("interfaces", anything), "interfaces"),
)}

var notifyRows = checked(wantScript, "notify", "notify_master", "notify_backup", "notify_fault", "notify_stop", "notify_master_rx_lower_pri")

var trackRows = []row{
	{"track_interface", Checked, "", list("track_interface", wantWeighted)},
	{"track_script", Checked, "", list("track_script", func(b *builder, s *Statement) {
		wantWeighted(b, s)
		b.vrrp.tracked = append(b.vrrp.tracked, *s)
	})},
	{"track_file", Checked, "", list("track_file", wantWeighted)},
	{"track_process", Checked, "", list("track_process", wantWeighted)},
	{"track_bfd", Refused, "BFD is not there yet", nil},
}

// The instance and the group that are being read.
type vrrpBuild struct {
	instance *Instance
	group    *SyncGroup
	scripts  map[string]bool // vrrp_scripts
	script   *Statement      // of the vrrp_script that is being read
	tracked  []Statement     // of track_script
}

var instanceBlock = &blockKind{name: "vrrp_instance", rows: slices.Concat(
	notifyRows, trackRows,
	[]row{
		{"state", Checked, "", func(b *builder, s *Statement) {
			if text := b.text(s); text != "" && text != "MASTER" && text != "BACKUP" {
				b.wrong(s, "%q: want MASTER or BACKUP", text)
			}
			b.vrrp.instance.Master = b.text(s) == "MASTER"
		}},
		{"interface", Checked, "", word1(func(b *builder) *string { return &b.vrrp.instance.Interface })},
		{"virtual_router_id", Checked, "", integer(1, 255, func(b *builder) *int { return &b.vrrp.instance.VRID })},
		{"priority", Checked, "", integer(1, 255, func(b *builder) *int { return &b.vrrp.instance.Priority })},
		{"advert_int", Checked, "", wantTimer(10*time.Millisecond, 255*time.Second)},
		{"authentication", Checked, "", func(b *builder, s *Statement) { opens(authenticationBlock)(b, s) }},
		{"auth_hmac", Noted, "version 2.4's way of authentication is not there yet", nil},
		{"virtual_ipaddress", Checked, "", list("virtual_ipaddress", (*builder).readVIP)},
		{"virtual_ipaddress_excluded", Checked, "", list("virtual_ipaddress_excluded", (*builder).readVIP)},
		{"virtual_routes", Checked, "", list("virtual_routes", anything)},
		{"virtual_rules", Checked, "", list("virtual_rules", anything)},
		{"unicast_peer", Checked, "", list("unicast_peer", func(b *builder, s *Statement) { b.address(s, s.Keyword()) })},
		{"unicast_src_ip mcast_src_ip mcast_dst_ip", Checked, "", wantAddress},
		{"track_src_ip", Checked, "", anything},
		{"version", Checked, "", wantNumber(2, 3)},
		{"vmac_addr_prefix use_vmac use_vmac_addr use_ipvlan vrf", Checked, "", anything},
		{"notify_deleted", Checked, "", anything},
		{"preempt_delay", Checked, "", wantTimer(0, 1000*time.Second)},
		{"unicast_ttl ttl", Checked, "", wantNumber(0, 255)},
		{"garp_master_delay garp_master_repeat garp_master_refresh garp_master_refresh_repeat garp_lower_prio_delay garp_lower_prio_repeat " +
			"down_timer_adverts kernel_rx_buf_size", Checked, "", wantNumber(0, math.MaxInt32)},
		{"garp_interval gna_interval vmac_garp_intvl garp_extra_if", Checked, "", anything},
		{"smtp_alert preempt nopreempt dont_track_primary accept no_accept native_ipv6 promote_secondaries vmac_xmit_base skip_check_adv_addr " +
			"check_unicast_src strict_mode higher_prio_send_advert lower_prio_no_advert owner_ignore_adverts notify_priority_changes " +
			"v3_checksum_as_v2 old_unicast_checksum unicast_fault_no_peer no_virtual_ipaddress debug", Checked, "", anything},
		{"lvs_sync_daemon_interface lvs_sync_daemon", Noted, "connections are not synchronised yet", func(b *builder, s *Statement) {
			b.wrong(s, "it belongs into global_defs, as lvs_sync_daemon")
		}},
		{"garp_group", Noted, "it belongs outside of vrrp_instance", nil},
	},
)}

var authenticationBlock = &blockKind{name: "authentication", rows: []row{
	{"auth_type", Checked, "", func(b *builder, s *Statement) {
		if text := b.text(s); text != "" && !slices.Contains([]string{"PASS", "AH"}, strings.ToUpper(text)) {
			b.wrong(s, "%q: want PASS or AH", text)
		}
		b.vrrp.instance.AH = strings.ToUpper(b.text(s)) == "AH"
	}},
	{"auth_pass", Checked, "", wantText},
	{"active_key anti_replay time_window mode key", Noted, "of version 2.4's way of authentication, which is not there yet", nil},
}}

// readVIP reads "ADDRESS[/LENGTH] ..." of a virtual_ipaddress block.
func (b *builder) readVIP(s *Statement) {
	text, _, _ := strings.Cut(s.Keyword(), "/")
	if _, ok := b.address(s, text); ok && b.vrrp.instance != nil {
		b.vrrp.instance.VIPs = append(b.vrrp.instance.VIPs, s.Keyword())
	}
}

func (b *builder) readVRRPScript(s *Statement) {
	name := b.text(s)
	if name == "" {
		return
	}
	b.vrrp.script = nil
	b.walk(vrrpScriptBlock, s.Block)
	if b.vrrp.script == nil {
		b.wrong(s, "%s: no script: it is ignored", name)
		return
	}
	if b.vrrp.scripts == nil {
		b.vrrp.scripts = map[string]bool{}
	}
	b.vrrp.scripts[name] = true
}

func (b *builder) readInstance(s *Statement) {
	name := b.text(s)
	if name == "" {
		return
	}
	b.vrrp.instance = &Instance{At: s.At, Name: name}
	b.walk(instanceBlock, s.Block)
	b.config.VRRP.Instances = append(b.config.VRRP.Instances, *b.vrrp.instance)
	b.vrrp.instance = nil
}

var syncGroupBlock = &blockKind{name: "vrrp_sync_group", rows: slices.Concat(notifyRows, trackRows, []row{
	{"group", Checked, "", func(b *builder, s *Statement) { b.vrrp.group.Members = words(s) }},
	{"smtp_alert notify_priority_changes global_tracking sync_group_tracking_weight", Checked, "", wantTruth},
	{"notify_deleted", Checked, "", anything},
})}

func (b *builder) readSyncGroup(s *Statement) {
	name := b.text(s)
	if name == "" {
		return
	}
	b.vrrp.group = &SyncGroup{At: s.At, Name: name}
	b.walk(syncGroupBlock, s.Block)
	b.config.VRRP.Groups = append(b.config.VRRP.Groups, *b.vrrp.group)
	b.vrrp.group = nil
}

// finishVRRP checks what the blocks say of each other.
func (b *builder) finishVRRP() {
	instances := map[string]bool{}
	ids := map[[2]any]string{}
	for _, i := range b.config.VRRP.Instances {
		if instances[i.Name] {
			b.warn(i.At, "vrrp_instance", "%s is there already", i.Name)
		}
		instances[i.Name] = true
		if i.VRID == 0 {
			b.warn(i.At, "vrrp_instance", "%s has no virtual_router_id: VRRP can't use it", i.Name)
		}
		if i.Master && i.AH {
			b.warn(i.At, "state", "%s: it can't begin as MASTER with auth_type AH: it begins as BACKUP", i.Name)
		}
		key := [2]any{i.Interface, i.VRID}
		if other, ok := ids[key]; ok && i.VRID != 0 {
			b.warn(i.At, "virtual_router_id", "%d on %s is %s's already", i.VRID, i.Interface, other)
		}
		ids[key] = i.Name
	}
	for i := range b.vrrp.tracked {
		if s := &b.vrrp.tracked[i]; !b.vrrp.scripts[s.Keyword()] {
			b.warn(s.At, "track_script", "there is no vrrp_script %s", s.Keyword())
		}
	}
	for _, g := range b.config.VRRP.Groups {
		for _, member := range g.Members {
			if !instances[member] {
				b.warn(g.At, "vrrp_sync_group", "%s: there is no vrrp_instance %s", g.Name, member)
			}
		}
	}
}
