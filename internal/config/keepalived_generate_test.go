package config

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A fileMaker writes a made-up keepalived.conf: mostly right, now and then wrong.
type fileMaker struct {
	*rand.Rand
	out   strings.Builder
	depth int
}

func makeFile(seed uint64) string {
	m := &fileMaker{Rand: rand.New(rand.NewPCG(seed, 7))}
	if m.IntN(2) == 0 {
		m.global()
	}
	for i := range m.IntN(3) {
		m.group(i)
	}
	for i := range 1 + m.IntN(3) {
		m.virtual(i)
	}
	if m.IntN(2) == 0 {
		m.vrrp(1 + m.IntN(3))
	}
	return m.out.String()
}

func (m *fileMaker) line(format string, args ...any) {
	m.out.WriteString(strings.Repeat("\t", m.depth))
	fmt.Fprintf(&m.out, format+"\n", args...)
	if m.IntN(30) == 0 {
		m.out.WriteString("! a comment with a { and a \" in it\n")
	}
}

func (m *fileMaker) block(head string, inside func()) {
	if m.IntN(12) == 0 {
		m.line("%s", head)
		m.line("{")
	} else {
		m.line("%s {", head)
	}
	m.depth++
	inside()
	m.depth--
	m.line("}")
}

// pick gives one of the texts; the ones after "|" are rare.
func (m *fileMaker) pick(list string) string {
	usual, rare, _ := strings.Cut(list, "|")
	words := strings.Fields(usual)
	if rare != "" && m.IntN(12) == 0 {
		words = strings.Fields(rare)
	}
	return words[m.IntN(len(words))]
}

// some writes a random few of the lines.
func (m *fileMaker) some(chance int, lines ...func()) {
	m.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	for _, write := range lines {
		if m.IntN(chance) == 0 {
			write()
		}
	}
}

func (m *fileMaker) say(keyword, values string) func() {
	return func() { m.line("%s %s", keyword, m.pick(values)) }
}

func (m *fileMaker) flag(keyword string) func() {
	return func() {
		if m.IntN(6) == 0 {
			m.line("%s %s", keyword, m.pick("on off yes no true false|maybe"))
			return
		}
		m.line("%s", keyword)
	}
}

func (m *fileMaker) unknown() func() {
	return func() {
		if m.IntN(10) == 0 {
			m.line("%s 1", m.pick("conect_timeout weigth frobnicate lb_algos"))
		}
	}
}

func (m *fileMaker) global() {
	m.block("global_defs", func() {
		m.some(3,
			m.say("router_id", "LVS_1 web"),
			m.say("notification_email_from", "root@example.com"),
			m.say("smtp_server", "192.0.2.250"),
			m.say("smtp_connect_timeout", "30 5|0 x"),
			func() { m.block("notification_email", func() { m.line("ops@example.com") }) },
			m.flag("checker_log_all_failures"),
			m.say("lvs_timeouts", "tcp|x"),
			m.unknown(),
		)
	})
}

func (m *fileMaker) group(i int) {
	m.block(fmt.Sprintf("virtual_server_group G%d", i), func() {
		for range 1 + m.IntN(3) {
			a := 10 + 20*i + m.IntN(3)
			switch m.IntN(5) {
			case 0:
				m.line("fwmark %d", 100*(i+1)+m.IntN(50))
			case 1:
				m.line("203.0.113.%d-%d 80", a, a+m.IntN(4))
			default:
				m.line("203.0.113.%d %s", a, m.pick("80 443|70000 x"))
			}
		}
	})
}

func (m *fileMaker) virtual(i int) {
	head := fmt.Sprintf("virtual_server 192.0.2.%d %s", i+1, m.pick("80 443 53|99999"))
	switch m.IntN(8) {
	case 0:
		head = fmt.Sprintf("virtual_server fwmark %d", i+1)
	case 1:
		head = fmt.Sprintf("virtual_server group G%d", i)
	}
	m.block(head, func() {
		m.some(1, func() {
			if m.IntN(10) > 0 {
				m.line("%s %s", m.pick("lb_algo lvs_sched"), m.pick("rr wrr lc wlc sh mh|fastest"))
			}
		}, func() {
			if m.IntN(10) > 0 {
				m.line("%s %s", m.pick("lb_kind lvs_method"), m.pick("NAT DR TUN|XX"))
			}
		}, func() {
			if m.IntN(10) > 0 {
				m.line("protocol %s", m.pick("TCP UDP|ICMP"))
			}
		})
		m.some(4,
			m.say("delay_loop", "6 10 1.5|0 x"), m.say("persistence_timeout", "50 300|0 x"), m.say("persistence_granularity", "255.255.255.0|x"),
			m.say("quorum", "1 2 3 9|0 x"), m.say("hysteresis", "0 1 2|x"), m.say("virtualhost", "www.example.com"),
			m.flag("alpha"), m.flag("omega"), m.flag("ops"), m.say("quorum_up", "/bin/true"), m.say("quorum_down", "/bin/true"),
			m.say("connect_timeout", "3 0.5|x"), m.say("retry", "0 3|x"), m.say("delay_before_retry", "1 2.5|x"), m.say("warmup", "0 5|x"),
			m.flag("inhibit_on_failure"), m.unknown(),
			func() { m.line("sorry_server 198.51.100.250 %s", m.pick("80 8080")) },
			m.flag("sorry_server_inhibit"), m.flag("sh-port"), m.flag("ha_suspend"), m.flag("smtp_alert"),
		)
		for j := range m.IntN(4) {
			m.real(j)
		}
	})
}

func (m *fileMaker) real(j int) {
	m.block(fmt.Sprintf("real_server 198.51.100.%d %s", 11+j, m.pick("80 443 53 8080|99999")), func() {
		m.some(3,
			m.say("weight", "1 3 100 0|-1 x"), m.flag("inhibit_on_failure"), m.say("uthreshold", "100|x"), m.say("lthreshold", "10|x"),
			m.say("notify_up", "/bin/true"), m.say("notify_down", "/bin/true"), m.say("lb_kind", "NAT DR TUN|XX"), m.say("virtualhost", "a.example.com"),
			m.say("delay_loop", "3|x"), m.say("retry", "2|x"), m.flag("alpha"), m.unknown(), m.flag("smtp_alert"),
		)
		for range m.IntN(3) {
			m.check()
		}
	})
}

func (m *fileMaker) connect() {
	m.some(4,
		m.say("connect_timeout", "3 1.5|0 x"), m.say("connect_port", "80 8080|0 70000 x"), m.say("connect_ip", "198.51.100.99|300.1.1.1"),
		m.say("bindto", "198.51.100.1|x"), m.say("retry", "1 3|x"), m.say("delay_before_retry", "1 3|x"), m.say("warmup", "0 2|x"),
		m.say("delay_loop", "5|x"), m.flag("alpha"), m.flag("log_all_failures"), m.say("fwmark", "7|x"), m.unknown(),
	)
}

func (m *fileMaker) check() {
	switch kind := m.pick("TCP_CHECK HTTP_GET SSL_GET MISC_CHECK SMTP_CHECK DNS_CHECK UDP_CHECK PING_CHECK"); kind {
	case "HTTP_GET", "SSL_GET":
		m.block(kind, func() {
			for range 1 + m.IntN(2) {
				m.block("url", func() {
					m.line("path %s", m.pick("/ /index.html"))
					m.some(2, m.say("status_code", "200 200-299 404|x 300-200"),
						m.say("digest", "9b3a0c85a887a256d6939da88aabd8cd|abc"), m.say("virtualhost", "b.example.com"), m.say("regex", "^OK$ ok"), m.unknown())
				})
			}
			m.connect()
			m.some(5, m.flag("fast_recovery"), m.say("http_protocol", "1.0 1.0C 1.1|2.0"), m.flag("enable_sni"))
		})
	case "MISC_CHECK":
		m.block(kind, func() {
			m.line("misc_path %s", m.pick("/bin/true /bin/false"))
			m.some(3, m.say("misc_timeout", "5|x"), m.flag("misc_dynamic"), m.unknown())
		})
	case "SMTP_CHECK":
		m.block(kind, func() { m.connect(); m.some(3, m.say("helo_name", "lvs.example.com")) })
	case "DNS_CHECK":
		m.block(kind, func() { m.connect(); m.some(2, m.say("type", "A SOA|PTRX"), m.say("name", "example.com")) })
	case "UDP_CHECK":
		m.block(kind, func() {
			m.connect()
			m.some(3, m.say("payload", "0102|0xzz"), m.say("require_reply", "ab01"), m.say("min_reply_length", "2|x"))
		})
	default:
		m.block(kind, func() { m.connect() })
	}
}
