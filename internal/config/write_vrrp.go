package config

import (
	"cmp"
	"fmt"
	"strings"
)

// vrrp writes the virtual routers and what they look at.
func (p *shower) vrrp(v *VRRP) {
	for i := range v.Scripts {
		p.vrrpScript(&v.Scripts[i])
	}
	for i := range v.Groups {
		g := &v.Groups[i]
		p.block("sync group", g.Name, func() {
			p.value("instances", strings.Join(g.Members, " "))
			p.track(&g.Track)
			p.notify(&g.Notify)
			p.value("mails", g.SMTPAlert)
		})
	}
	for i := range v.Instances {
		p.instance(&v.Instances[i])
	}
}

func (p *shower) vrrpScript(s *TrackScript) {
	p.block("VRRP script", s.Name, func() {
		p.value("program", s.Script)
		p.value("interval", s.Interval)
		p.value("timeout", s.Timeout)
		p.value("weight", s.Weight)
		p.value("reverse", s.Reverse)
		p.value("rise", s.Rise)
		p.value("fall", s.Fall)
		p.value("begins as failed", s.InitFail)
	})
}

func (p *shower) instance(i *Instance) {
	p.block("VRRP instance", i.Name, func() {
		p.value("interface", i.Interface)
		p.value("virtual router ID", i.VRID)
		p.value("version", i.Version)
		p.value("priority", i.Priority)
		p.value("state", map[bool]string{true: "MASTER", false: "BACKUP"}[i.Master])
		p.value("advert interval", i.Advert)
		p.value("down after adverts", i.DownTimerAdverts)
		if i.Auth != nil {
			p.value("authentication", map[bool]string{true: "AH", false: "PASS"}[i.Auth.AH])
		}
		if i.Source.IsValid() {
			p.value("source", i.Source.String())
		}
		for _, peer := range i.Peers {
			p.each("peer", fmt.Sprintf("%s ttl %d-%d", peer.Addr, peer.MinTTL, peer.MaxTTL))
		}
		if len(i.Peers) == 0 {
			p.value("adverts to", i.Multicast.String())
		}
		if v := i.VMAC; v != nil {
			p.value(map[bool]string{true: "IPVLAN", false: "VMAC"}[v.IPVLAN], strings.TrimSpace(cmp.Or(v.Name, "named by VRRP")+" "+v.MAC))
		}
		p.value("strict", i.Strict)
		p.value("no accept", i.NoAccept)
		p.value("no preempt", i.NoPreempt)
		p.value("preempt delay", i.PreemptDelay)
		p.garp(&i.GARP)
		p.addresses("address", i.VIPs)
		p.addresses("excluded address", i.Excluded)
		for _, r := range i.Routes {
			p.each("route", joined(r.Words))
		}
		for _, r := range i.Rules {
			p.each("rule", joined(r.Words))
		}
		p.track(&i.Track)
		p.notify(&i.Notify)
		p.value("mails", i.SMTPAlert)
	})
}

func (p *shower) garp(g *GARP) {
	p.value("ARPs of a set", g.Repeat)
	p.value("second set after", g.Delay)
	p.value("refreshed every", g.Refresh)
	p.value("other interfaces every", g.ExtraInterface)
}

func (p *shower) addresses(name string, list []VIP) {
	for _, v := range list {
		text := v.Prefix.String()
		if v.Device != "" {
			text += " dev " + v.Device
		}
		if v.Label != "" {
			text += " label " + v.Label
		}
		p.each(name, text)
	}
}

func (p *shower) track(t *Track) {
	for _, list := range []struct {
		name string
		of   []Tracked
	}{{"tracks interface", t.Interfaces}, {"tracks script", t.Scripts}, {"tracks file", t.Files}, {"tracks process", t.Processes}} {
		for _, k := range list.of {
			text := fmt.Sprintf("%s weight %d", k.Name, k.Weight)
			if k.Reverse {
				text += " reverse"
			}
			p.each(list.name, text)
		}
	}
}

func (p *shower) notify(n *Notify) {
	p.value("notify", n.Any)
	p.value("notify master", n.Master)
	p.value("notify backup", n.Backup)
	p.value("notify fault", n.Fault)
	p.value("notify stop", n.Stop)
	p.value("notify deleted", n.Deleted)
	p.value("notify lower priority", n.LowerPriority)
}
