package config

import (
	"slices"
	"strings"
	"time"

	"drover/internal/lvs"
)

// An instanceBuild is an instance while it is read. Pointers are nil where the default holds.
type instanceBuild struct {
	Instance
	version                                     *int
	priority                                    *int
	advert                                      *time.Duration
	auth                                        Authentication
	authSaid, unicastSaid                       bool
	strict, accept, lower, higher, skip, alerts *bool
	down                                        *int
	xmitBase                                    bool
	garp                                        garpBuild
	multicastSaid                               *Statement
}

func instance(b *builder) *instanceBuild { return b.vrrp.instance }

var instanceBlock = &blockKind{name: "vrrp_instance", rows: slices.Concat(
	[]row{
		{"state", Acted, "MASTER or BACKUP", (*builder).readState},
		{"interface", Acted, "that adverts go by", word1(func(b *builder) *string { return &instance(b).Interface })},
		{"virtual_router_id", Acted, "1 to 255", integer(1, 255, func(b *builder) *int { return &instance(b).VRID })},
		{"priority", Acted, "1 to 255; 255 owns the addresses; 100 by default", storeNumber(1, 255, func(b *builder) **int { return &instance(b).priority })},
		{"advert_int", Acted, "seconds; 1 by default", duration(10*time.Millisecond, 255*time.Second, func(b *builder) **time.Duration { return &instance(b).advert })},
		{"version", Acted, "2 or 3; IPv6 has 3", storeNumber(2, 3, func(b *builder) **int { return &instance(b).version })},
		{"authentication", Acted, "auth_type and auth_pass, of version 2 alone", func(b *builder, s *Statement) { opens(authenticationBlock)(b, s) }},
		{"virtual_ipaddress", Acted, "the addresses", vips(func(b *builder) *[]VIP { return &instance(b).VIPs }, true)},
		{"virtual_ipaddress_excluded", Acted, "addresses that adverts do not name", vips(func(b *builder) *[]VIP { return &instance(b).Excluded }, false)},
		{"virtual_routes", Acted, "as of ip route add", routes(func(b *builder) *[]Route { return &instance(b).Routes })},
		{"virtual_rules", Acted, "as of ip rule add", rules(func(b *builder) *[]Rule { return &instance(b).Rules })},
		{"nopreempt", Acted, "a MASTER of lower priority stays", func(b *builder, _ *Statement) { instance(b).NoPreempt = true }},
		{"preempt", Acted, "the default", func(b *builder, _ *Statement) { instance(b).NoPreempt = false }},
		{"preempt_delay", Acted, "seconds before taking over from a lower priority, 1000 at most", func(b *builder, s *Statement) {
			if d, ok := b.timer(s, 0, 1000*time.Second); ok {
				instance(b).PreemptDelay = d
			}
		}},
		{"down_timer_adverts", Acted, "advert intervals until a backup takes over; 3 by default", storeNumber(1, 100, func(b *builder) **int { return &instance(b).down })},
		{"strict_mode", Checked, "as vrrp_strict, of this instance", truthOrUnset(func(b *builder) **bool { return &instance(b).strict })},
		{"accept", Checked, "packets to the addresses are taken; the default but in strict mode", accepts(true)},
		{"no_accept", Checked, "they are dropped unless the priority is 255", accepts(false)},
		{"lower_prio_no_advert", Acted, "a lower priority's advert is not answered", truthOrUnset(func(b *builder) **bool { return &instance(b).lower })},
		{"higher_prio_send_advert", Acted, "one more advert before giving way", truthOrUnset(func(b *builder) **bool { return &instance(b).higher })},
		{"skip_check_adv_addr", Acted, "the addresses of the same master's adverts are not compared again", truthOrUnset(func(b *builder) **bool { return &instance(b).skip })},
		{"dont_track_primary", Acted, "the interface's state does not matter", mark(func(b *builder) *bool { return &instance(b).DontTrackDevice })},
		{"native_ipv6", Acted, "the addresses are of IPv6", func(b *builder, s *Statement) { b.sameFamily(s, lvs.IPv6, "the instance") }},
		{"promote_secondaries", Checked, "a secondary address stays when the primary goes", mark(func(b *builder) *bool { return &instance(b).Promote })},
		{"owner_ignore_adverts", Acted, "of version 2.4: with priority 255 adverts of others do not matter", mark(func(b *builder) *bool { return &instance(b).IgnoreAdverts })},
		{"v3_checksum_as_v2", Acted, "of version 2.4: the checksum is without the pseudo-header", mark(func(b *builder) *bool { return &instance(b).ChecksumAsV2 })},
		{"smtp_alert", Acted, "", truthOrUnset(func(b *builder) **bool { return &instance(b).alerts })},
		{"kernel_rx_buf_size", Noted, "buffers are as large as they need to be", nil},
		{"linkbeat_use_polling", Noted, "links are watched by netlink", func(b *builder, s *Statement) {
			b.warn(s.At, s.Keyword(), "an old word: linkbeat_interfaces says it outside of vrrp_instance")
		}},
		{"debug", Noted, "it does nothing in keepalived either", func(b *builder, s *Statement) { b.number(s, 0, 4) }},
		{"auth_hmac", Noted, "version 2.4's way of authentication is not there yet", nil},
		{"no_virtual_ipaddress", Noted, "of version 2.4: an instance may be without addresses in any case", nil},
		{"lvs_sync_daemon_interface lvs_sync_daemon", Noted, "it belongs into global_defs, as lvs_sync_daemon", func(b *builder, s *Statement) {
			b.wrong(s, "it belongs into global_defs, as lvs_sync_daemon")
		}},
	},
	sourceRows, vmacRows,
	garpRows("", func(b *builder) *garpBuild { return &instance(b).garp }),
	trackRows(func(b *builder) *Track { return &instance(b).Track }),
	notifyRows(func(b *builder) *Notify { return &instance(b).Notify }),
)}

// mark is for a keyword that says all by being there.
func mark(at func(*builder) *bool) reader1 { return func(b *builder, _ *Statement) { *at(b) = true } }

func accepts(yes bool) reader1 {
	return func(b *builder, _ *Statement) { instance(b).accept = &yes }
}

// storeNumber is integer where what is not said matters.
func storeNumber(low, high int, at func(*builder) **int) reader1 {
	return func(b *builder, s *Statement) {
		if n, ok := b.number(s, low, high); ok {
			*at(b) = &n
		}
	}
}

func (b *builder) readState(s *Statement) {
	switch text := b.text(s); text {
	case "MASTER":
		instance(b).Master = true
	case "BACKUP":
		instance(b).Master = false
	case "":
	default:
		b.wrong(s, "%q: want MASTER or BACKUP", text)
	}
}

var authenticationBlock = &blockKind{name: "authentication", rows: []row{
	{"auth_type", Acted, "PASS or AH", func(b *builder, s *Statement) {
		switch text := b.text(s); text {
		case "PASS", "AH":
			instance(b).authSaid, instance(b).auth.AH = true, text == "AH"
		case "":
		default:
			b.find(s, Error, "want PASS or AH", nearest(strings.ToUpper(text), []string{"PASS", "AH"}))
		}
	}},
	{"auth_pass", Acted, "8 letters count", func(b *builder, s *Statement) {
		text := b.text(s)
		if len(text) > 8 {
			b.warn(s.At, s.Keyword(), "only its first 8 letters are used")
			text = text[:8]
		}
		instance(b).auth.Password = text
	}},
	{"active_key anti_replay time_window mode key", Noted, "of version 2.4's way of authentication, which is not there yet", nil},
}}

func (b *builder) readInstance(s *Statement) {
	name := b.text(s)
	if name == "" {
		return
	}
	i := &instanceBuild{}
	i.At, i.Name, i.UnicastTTL = s.At, name, -1
	b.vrrp.instance = i
	b.enter(instanceBlock, s)
	b.vrrp.instance = nil
	b.vrrp.instances = append(b.vrrp.instances, i)
}

// sameFamily settles the family of the instance by the first address that it has; what is of another is not used.
func (b *builder) sameFamily(s *Statement, family lvs.Family, what string) bool {
	i := instance(b)
	if i.Family == 0 {
		i.Family = family
	}
	if i.Family != family {
		b.wrong(s, "%s is of another address family than the instance: it is ignored", what)
		return false
	}
	return true
}
