package config

import (
	"fmt"
	"strings"
)

// vrrp writes what a virtual router needs, and some that it does not take.
func (m *fileMaker) vrrp(n int) {
	m.block("vrrp_script S1", func() {
		m.line("script %s", m.pick("/bin/true /bin/nosuch"))
		m.some(3, m.say("interval", "2|0 0.5 x"), m.say("timeout", "3|0"), m.say("weight", "10 -10|300 x"), m.say("rise", "2|0 x"), m.say("fall", "2|x"), m.flag("init_fail"))
	})
	m.block("vrrp_track_process P1", func() {
		m.line("process %s", m.pick("nginx haproxy"))
		m.some(3, m.say("weight", "20|300"), m.say("quorum", "2|0"), m.say("quorum_max", "5 1|x"), m.say("delay", "0.5|4000 x"), m.say("param_match", "initial partial|exact"))
	})
	for i := range n {
		m.instance(i)
	}
	if m.IntN(2) == 0 {
		m.block("vrrp_sync_group G1", func() {
			m.block("group", func() {
				for i := range 1 + m.IntN(3) {
					m.line("V%d", i)
				}
			})
			m.some(3, m.flag("smtp_alert"), m.flag("sync_group_tracking_weight"), m.say("notify_master", "/bin/nosuch"), m.flag("global_tracking"), m.unknown())
		})
	}
}

func (m *fileMaker) instance(i int) {
	m.block(fmt.Sprintf("vrrp_instance V%d", i), func() {
		m.line("interface %s", m.pick("eth0 eth1"))
		m.line("virtual_router_id %d", 50+i) // without one keepalived looks at no further instance
		m.some(3,
			m.say("state", "MASTER BACKUP|master"), m.say("priority", "100 150 255|0 256 x"), m.say("advert_int", "1 2|0.5 300 x"), m.say("version", "2 3|4"),
			m.flag("nopreempt"), m.say("preempt_delay", "5|1001 x"), m.say("down_timer_adverts", "4|0 101"),
			func() {
				m.block("authentication", func() {
					m.line("auth_type %s", m.pick("PASS PASS AH|pass"))
					m.some(1, m.say("auth_pass", "secret 12345678|1234567890"))
				})
			},
		)
		m.some(5,
			m.flag("strict_mode"), m.flag("accept"), m.flag("no_accept"), m.flag("lower_prio_no_advert"), m.flag("higher_prio_send_advert"),
			m.say("garp_master_delay", "5|x"), m.say("garp_master_repeat", "3|0 x"), m.say("garp_lower_prio_repeat", "1|x"), m.say("garp_master_refresh", "60|x"),
			m.say("mcast_src_ip", "198.51.100.1|x 2001:db8::1"), m.say("unicast_src_ip", "198.51.100.1|x"), m.say("unicast_ttl", "3|256"), m.say("mcast_dst_ip", "224.0.0.5|192.0.2.1"),
			func() {
				m.block("unicast_peer", func() { m.line("198.51.100.2 %s", m.pick("min_ttl|max_ttl")+m.pick(" 5 200|300 x")) })
			},
			m.say("notify", "/bin/nosuch"), m.say("notify_master", "/bin/nosuch"), m.flag("smtp_alert"), m.flag("dont_track_primary"), m.flag("check_unicast_src"), m.unknown(),
			func() { m.block("track_interface", func() { m.line("%s %s", m.pick("eth0 eth1"), m.tracked()) }) },
			func() { m.block("track_script", func() { m.line("%s %s", m.pick("S1|S9"), m.tracked()) }) },
			func() {
				m.block("track_process", func() { m.line("%s %s", m.pick("P1|P9"), strings.Replace(m.tracked(), "often", "", 1)) })
			},
			func() {
				m.block("virtual_routes", func() {
					m.line("%s dev eth0", m.pick("203.0.113.0/25 default|x"))
					m.line("203.0.113.128/25 via 198.51.100.3 dev eth0 %s", m.pick("no_track onlink|table_x"))
				})
			},
			func() {
				m.block("virtual_rules", func() { m.line("from 203.0.113.0/24 %s", m.pick("blackhole prohibit|nowhere")) })
			},
		)
		m.some(1, func() {
			if m.IntN(15) > 0 {
				m.block("virtual_ipaddress", func() { m.addresses(i) })
			}
		})
	})
}

// tracked is what follows the name of what is tracked. At an unknown word in track_process keepalived 2.2.7 says nothing
// more of VRRP, so that line has none.
func (m *fileMaker) tracked() string {
	return []string{"", "weight 10", "weight -5", "weight 10 reverse", "weight 254", "weight 300", "weight x", "weight", "often"}[min(m.IntN(20), 8)]
}

func (m *fileMaker) addresses(i int) {
	for j := range 1 + m.IntN(3) {
		m.line("203.0.113.%d%s %s", 10*i+j+1, m.pick("/24 /32 /25|/33 /x"),
			[]string{"", "dev eth0", "dev eth1 label eth1:1", "brd 203.0.113.255", "brd +", "scope link", "scope 300", "peer x", "fast", "no_track"}[m.IntN(10)])
	}
	if m.IntN(10) == 0 {
		m.line("2001:db8::%d", i+1)
	}
}
