package config

import (
	"net"
	"os"
	"strconv"
	"time"
)

func defaultGlobal() Global {
	host, _ := os.Hostname()
	return Global{RouterID: host, SMTPTimeout: 30 * time.Second}
}

func global(b *builder) *Global { return &b.config.Global }

var globalBlock = &blockKind{name: "global_defs", rows: []row{
	{"router_id", Acted, "names this director in alerts", word1(func(b *builder) *string { return &global(b).RouterID })},
	{"notification_email", Acted, "", func(b *builder, s *Statement) {
		list := b.wordsOf(s)
		if len(list) == 0 {
			b.warn(s.At, s.Keyword(), "there is no address in it")
		}
		global(b).NotificationEmail = append(global(b).NotificationEmail, list...)
	}},
	{"notification_email_from", Acted, "", word1(func(b *builder) *string { return &global(b).EmailFrom })},
	{"smtp_server", Acted, "", (*builder).readSMTPServer},
	{"smtp_helo_name", Acted, "", func(b *builder, s *Statement) {
		if len(s.Words) > 1 { // keepalived says nothing of a missing name
			global(b).SMTPHelo = s.Words[1]
		}
	}},
	{"smtp_connect_timeout", Acted, "", func(b *builder, s *Statement) {
		if d, ok := b.timer(s, time.Millisecond, longest); ok {
			global(b).SMTPTimeout = d
		}
	}},
	{"smtp_alert", Acted, "", truthOrUnset(func(b *builder) **bool { return &global(b).SMTPAlert })},
	{"smtp_alert_checker", Acted, "", truthOrUnset(func(b *builder) **bool { return &global(b).SMTPAlertChecker })},
	{"smtp_alert_vrrp", Acted, "", truthOrUnset(func(b *builder) **bool { return &global(b).SMTPAlertVRRP })},
	{"no_email_faults", Acted, "", truth(func(b *builder) *bool { return &global(b).NoEmailFaults })},
	{"no_checker_emails", Acted, "the same as smtp_alert_checker off", func(b *builder, _ *Statement) {
		no := false
		global(b).SMTPAlertChecker = &no
	}},
	{"script_user", Acted, "", func(b *builder, s *Statement) {
		user, group := b.text(s), ""
		if len(s.Words) > 2 {
			group = s.Words[2]
		}
		if b.knowsUser(s, user, group) {
			global(b).ScriptUser, global(b).ScriptGroup = user, group
		}
	}},
	{"enable_script_security", Acted, "", func(b *builder, _ *Statement) { global(b).ScriptSecurity = true }},
	{"use_symlink_paths", Noted, "the security of scripts looks at both, the link and what it points to", nil},
	{"checker_log_all_failures", Acted, "", truth(func(b *builder) *bool { return &global(b).LogAllFailures })},
	{"lvs_flush", Acted, "all services are removed when the director begins", func(b *builder, _ *Statement) { global(b).Flush = true }},
	{"lvs_flush_on_stop lvs_flush_onstop", Acted, "without it the services stay when the director ends, and go on forwarding", (*builder).readFlushOnStop},
	{"lvs_timeouts", Acted, "", (*builder).readTimeouts},
	{"lvs_sync_daemon lvs_sync_daemon_interface", Checked, "INTERFACE [inst VRRP_INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group ADDRESS]", (*builder).readSyncDaemon},
	{"notify_fifo", Acted, "", fifo(func(b *builder) **FIFO { return &global(b).NotifyFIFO })},
	{"lvs_notify_fifo", Acted, "", fifo(func(b *builder) **FIFO { return &global(b).LVSNotifyFIFO })},
	{"vrrp_notify_fifo", Acted, "", fifo(func(b *builder) **FIFO { return &global(b).VRRPNotifyFIFO })},
	{"notify_fifo_script", Acted, "", fifoScript(func(b *builder) **FIFO { return &global(b).NotifyFIFO })},
	{"lvs_notify_fifo_script", Acted, "", fifoScript(func(b *builder) **FIFO { return &global(b).LVSNotifyFIFO })},
	{"vrrp_notify_fifo_script", Acted, "", fifoScript(func(b *builder) **FIFO { return &global(b).VRRPNotifyFIFO })},
	{"rs_init_notifies", Noted, "servers that are up when the director begins are not told of", nil},
	{"startup_script shutdown_script startup_script_timeout shutdown_script_timeout", Noted, "have systemd run it: ExecStartPre, ExecStopPost", nil},
	{"process_names process_name lvs_process_name vrrp_process_name checker_process_name bfd_process_name", Noted, "there is one process", nil},
	{"tmp_config_directory config_save_dir", Noted, "the file is read once, and not copied", nil},
	{"checker_priority checker_no_swap checker_rt_priority checker_rlimit_rtime checker_rlimit_rttime checker_cpu_affinity " +
		"bfd_priority bfd_no_swap bfd_rt_priority bfd_rlimit_rtime bfd_rlimit_rttime bfd_cpu_affinity", Noted, "have systemd set it for the process: Nice, CPUAffinity, ...", nil},
	{"lvs_netlink_cmd_rcv_bufs lvs_netlink_cmd_rcv_bufs_force lvs_netlink_monitor_rcv_bufs lvs_netlink_monitor_rcv_bufs_force " +
		"process_monitor_rcv_bufs process_monitor_rcv_bufs_force", Noted, "no netlink is used for it", nil},
	{"enable_snmp_keepalived enable_snmp_vrrp enable_snmp_checker enable_snmp_rfc enable_snmp_rfcv2 enable_snmp_rfcv3 enable_traps snmp_socket " +
		"snmp_vs_stats_update_interval snmp_rs_stats_update_interval", Noted, "there are metrics for Prometheus in the place of SNMP", nil},
	{"enable_dbus dbus_service_name dbus_no_interface_name", Noted, "there is an API over a Unix socket in the place of D-Bus", nil},
	{"nftables_ipvs nftables_ipvs_priority nftables_ipvs_start_fwmark", Noted, "marks are given by Drover's own classifier: drover mark", nil},
	{"max_auto_priority min_auto_priority_delay", Noted, "of keepalived's own processes", nil},
	{"set_supplementary_groups", Noted, "a script has its user's groups in any case", nil},
	{"reload_time_file reload_repeat reload_check_config reload_file random_seed state_dump_file stats_dump_file json_dump_file data_use_instance " +
		"json_version umask disable_local_igmp iproute_etc_dir iproute_usr_dir include_check fifo_write_vrrp_states_on_reload", Noted, "of keepalived's own processes", nil},
	{"instance net_namespace net_namespace_ipvs use_pid_dir child_wait_time", Noted, "it belongs outside of global_defs", nil},
}, more: []*blockKind{vrrpGlobals}}

func (b *builder) readSMTPServer(s *Statement) {
	host := b.text(s)
	if host == "" {
		return
	}
	port := 25
	if len(s.Words) > 2 {
		var ok bool
		if port, ok = b.numberIn(s, s.Words[2], 1, 65535); !ok {
			return
		}
	}
	global(b).SMTPHost = net.JoinHostPort(host, strconv.Itoa(port))
}

func (b *builder) readFlushOnStop(s *Statement) {
	global(b).FlushOnStop = FlushServers
	if len(s.Words) > 1 {
		if s.Words[1] != "VS" {
			b.wrong(s, "%q: want VS, or nothing", s.Words[1])
			return
		}
		global(b).FlushOnStop = FlushServices
	}
}

func (b *builder) readTimeouts(s *Statement) {
	t := &global(b).Timeouts
	if len(s.Words) < 2 {
		b.wrong(s, "want tcp, tcpfin or udp, each with seconds")
	}
	for i := 1; i < len(s.Words); i += 2 {
		at := map[string]*time.Duration{"tcp": &t.TCP, "tcpfin": &t.TCPFin, "udp": &t.UDP}[s.Words[i]]
		if at == nil || i+1 == len(s.Words) {
			b.wrong(s, "want tcp, tcpfin or udp, each with seconds")
			return
		}
		if n, ok := b.numberIn(s, s.Words[i+1], 0, 31*24*3600); ok {
			*at = time.Duration(n) * time.Second
		}
	}
}

func fifo(at func(*builder) **FIFO) reader1 {
	return func(b *builder, s *Statement) {
		path := b.text(s)
		switch {
		case path == "":
		case pipe(b, at).Path != "":
			b.wrong(s, "there is one already: this one is ignored")
		default:
			pipe(b, at).Path = path
		}
	}
}

func fifoScript(at func(*builder) **FIFO) reader1 {
	return func(b *builder, s *Statement) {
		if script := b.script(s); script != nil {
			pipe(b, at).Script = script
		}
	}
}

func pipe(b *builder, at func(*builder) **FIFO) *FIFO {
	if *at(b) == nil {
		*at(b) = &FIFO{}
	}
	return *at(b)
}
