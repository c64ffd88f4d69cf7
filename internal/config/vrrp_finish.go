package config

import (
	"math"
	"slices"
	"time"

	"drover/internal/lvs"
)

// finishVRRP settles what depends on the whole file: defaults, and what the blocks say of each other.
func (b *builder) finishVRRP() {
	d := defaults(b)
	if b.vrrp.minGARP {
		d.GARP = GARP{Repeat: 1, LowerRepeat: 1, RefreshRepeat: 1}
	}
	d.GARP = b.vrrp.garp.or(d.GARP)
	for name, f := range b.files {
		b.config.VRRP.Files = append(b.config.VRRP.Files, TrackFile{name, f.path, f.weight, f.reverse})
	}
	slices.SortFunc(b.config.VRRP.Files, func(x, y TrackFile) int { return cmpText(x.Name, y.Name) })
	seen := map[vrid]string{}
	names := map[string]bool{}
	for _, i := range b.vrrp.instances {
		if names[i.Name] {
			b.warn(i.At, "vrrp_instance", "%s is there already", i.Name)
		}
		names[i.Name] = true
		b.finishInstance(i, seen)
	}
	b.dropScripts()
	b.finishGroups()
	b.finishTracked()
	for _, i := range b.vrrp.instances {
		b.config.VRRP.Instances = append(b.config.VRRP.Instances, i.Instance)
	}
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// A vrid is what there can be once on a network.
type vrid struct {
	device    string
	id        int
	family    lvs.Family
	multicast string // and peers
}

func (b *builder) finishInstance(i *instanceBuild, seen map[vrid]string) {
	d := defaults(b)
	i.Strict = *orElse(i.strict, &d.Strict)
	i.LowerNoAdvert = *orElse(i.lower, ptr(d.LowerPrioNoAdvert || i.Strict))
	i.HigherSend = *orElse(i.higher, &d.HigherPrioSend)
	i.SkipCheckAddr = *orElse(i.skip, &d.SkipCheckAddr)
	i.CheckSource = i.CheckSource || d.CheckUnicastSource
	i.DownTimerAdverts = *orElse(i.down, &d.DownTimerAdverts)
	i.GARP = i.garp.or(d.GARP)
	i.SMTPAlert = *orElse(i.alerts, orElse(b.config.Global.SMTPAlertVRRP, orElse(b.config.Global.SMTPAlert, ptr(false))))
	i.Notify.Priority = i.Notify.Priority || d.NotifyPriority
	if i.Interface == "" {
		b.warn(i.At, "interface", "%s has none: VRRP can't use it", i.Name)
	}
	if i.VRID == 0 {
		b.warn(i.At, "vrrp_instance", "%s has no virtual_router_id: VRRP can't use it", i.Name)
	}
	if len(i.VIPs) == 0 {
		b.warn(i.At, "virtual_ipaddress", "%s has no address", i.Name)
	}
	if i.Family == 0 {
		i.Family = lvs.IPv4
	}
	b.settlePriority(i)
	b.settleVersion(i)
	b.settlePeers(i)
	b.settleVMAC(i)
	b.settleStrict(i)
	key := vrid{i.Interface, i.VRID, i.Family, i.Multicast.String() + peersText(i.Peers)}
	if other, ok := seen[key]; ok && i.VRID != 0 {
		b.warn(i.At, "virtual_router_id", "%d on %s is %s's already", i.VRID, i.Interface, other)
	}
	seen[key] = i.Name
}

func peersText(peers []Peer) (text string) {
	for _, p := range peers {
		text += " " + p.Addr.String()
	}
	return text
}

// settlePriority settles the priority, and what goes with beginning as MASTER.
func (b *builder) settlePriority(i *instanceBuild) {
	i.Priority = 100
	if i.Master {
		i.Priority = 255
	}
	i.Priority = *orElse(i.priority, &i.Priority)
	if i.Master && i.auth.AH {
		b.warn(i.At, "state", "%s: it can't begin as MASTER with auth_type AH: it begins as BACKUP", i.Name)
		i.Master = false
	}
	if i.NoPreempt && i.Master {
		b.warn(i.At, "nopreempt", "%s: it is not for state MASTER: it is ignored", i.Name)
		i.NoPreempt = false
	}
	if i.NoPreempt && i.Priority == 255 {
		b.warn(i.At, "nopreempt", "%s: it is not for priority 255: it is ignored", i.Name)
		i.NoPreempt = false
	}
	if i.PreemptDelay > 0 && (i.Master || i.Priority == 255 || i.NoPreempt || i.Strict) {
		b.warn(i.At, "preempt_delay", "%s: it is not for state MASTER, nopreempt or strict mode: it is ignored", i.Name)
		i.PreemptDelay = 0
	}
}

// settleVersion settles the version, the interval and the authentication, which go together.
func (b *builder) settleVersion(i *instanceBuild) {
	i.Version = *orElse(i.version, &defaults(b).Version)
	if i.Family == lvs.IPv6 {
		if i.Strict && i.version != nil && i.Version == 2 {
			b.warn(i.At, "version", "%s: IPv6 has version 3", i.Name)
		}
		i.Version = 3
	}
	i.Advert = *orElse(i.advert, ptr(time.Second))
	unit, most := time.Second, 255*time.Second
	if i.Version == 3 {
		unit, most = 10*time.Millisecond, 40950*time.Millisecond
	}
	rounded := time.Duration(math.Round(float64(i.Advert)/float64(unit))) * unit
	if rounded = min(max(rounded, unit), most); rounded != i.Advert {
		b.warn(i.At, "advert_int", "%s: version %d has %v to %v seconds in steps of %v: it is set to %v", i.Name, i.Version, unit.Seconds(), most.Seconds(), unit.Seconds(), rounded.Seconds())
		i.Advert = rounded
	}
	switch {
	case !i.authSaid:
	case i.auth.Password == "":
		b.warn(i.At, "authentication", "%s: there is no auth_pass: it is ignored", i.Name)
	case i.Version == 3 || i.Strict:
		b.warn(i.At, "authentication", "%s: version 3 and strict mode have none: it is ignored", i.Name)
	default:
		i.Auth = &i.auth
	}
}

// settlePeers settles where adverts go.
func (b *builder) settlePeers(i *instanceBuild) {
	group := defaults(b).Multicast4
	if i.Family == lvs.IPv6 {
		group = defaults(b).Multicast6
	}
	if !i.Multicast.IsValid() {
		i.Multicast = group
	}
	switch {
	case len(i.Peers) > 0 && i.multicastSaid != nil:
		b.warn(i.At, "mcast_dst_ip", "%s: with unicast_peer there is no multicast: it is ignored", i.Name)
	case len(i.Peers) == 0 && i.unicastSaid && !i.FaultNoPeer:
		b.warn(i.At, "unicast_peer", "%s: words of unicast, and no peer: adverts go by multicast", i.Name)
	case len(i.Peers) == 0 && i.UnicastTTL >= 0:
		b.warn(i.At, "unicast_ttl", "%s: there is no unicast_peer: it is ignored", i.Name)
		i.UnicastTTL = -1
	}
}

func (b *builder) settleVMAC(i *instanceBuild) {
	switch v := i.VMAC; {
	case v == nil && i.xmitBase:
		b.warn(i.At, "vmac_xmit_base", "%s: it is for use_vmac: it is ignored", i.Name)
		return
	case v == nil:
		return
	case v.IPVLAN && i.Family == lvs.IPv4 && !v.Addr.IsValid() && !i.Source.IsValid():
		b.warn(i.At, "use_ipvlan", "%s: of IPv4 it needs an address: VRRP will be in FAULT", i.Name)
	case !v.IPVLAN && len(i.Peers) > 0 && !i.xmitBase:
		b.warn(i.At, "use_vmac", "%s: unicast needs vmac_xmit_base: it is set", i.Name)
		i.xmitBase = true
	}
	if i.Promote {
		b.warn(i.At, "promote_secondaries", "%s: an interface of its own has it anyway", i.Name)
	}
	i.VMAC.Base = i.xmitBase
}

// settleStrict takes back what strict mode does not have.
func (b *builder) settleStrict(i *instanceBuild) {
	owner := i.Priority == 255
	i.NoAccept = !*orElse(i.accept, ptr(!i.Strict || owner))
	if !i.Strict {
		return
	}
	reset := func(keyword, reason string) { b.warn(i.At, keyword, "%s: %s", i.Name, reason) }
	if i.Master != owner && i.Master {
		reset("state", "in strict mode only priority 255 begins as MASTER: it begins as BACKUP")
		i.Master = false
	}
	if i.accept != nil && *i.accept && i.Version == 2 {
		reset("accept", "version 2 in strict mode has no accept: it is ignored")
		i.NoAccept = !owner
	}
	if len(i.VIPs) > 0 && i.Family == lvs.IPv6 && !i.VIPs[0].Prefix.Addr().IsLinkLocalUnicast() {
		reset("virtual_ipaddress", "in strict mode the first IPv6 address must be link-local")
	}
	if i.lower != nil && !*i.lower {
		reset("lower_prio_no_advert", "strict mode has it on")
		i.LowerNoAdvert = true
	}
	if i.DownTimerAdverts != 3 {
		reset("down_timer_adverts", "strict mode has 3")
		i.DownTimerAdverts = 3
	}
	if i.HigherSend {
		reset("higher_prio_send_advert", "strict mode has it off")
		i.HigherSend = false
	}
	if i.garp.lowerRepeat != nil && *i.garp.lowerRepeat > 0 {
		reset("garp_lower_prio_repeat", "strict mode has none")
		i.GARP.LowerRepeat = 0
	}
	if i.VMAC != nil && i.VMAC.Base {
		reset("vmac_xmit_base", "strict mode has it off")
		i.VMAC.Base = false
	}
}
