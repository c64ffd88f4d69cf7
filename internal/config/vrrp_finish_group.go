package config

import (
	"os/exec"
	"slices"
	"strings"
)

// finishGroups settles which instances the groups have.
func (b *builder) finishGroups() {
	taken := map[string]bool{}
	for _, g := range b.vrrp.groups {
		members := b.members(g, taken)
		switch len(members) {
		case 0:
			b.warn(g.At, "vrrp_sync_group", "%s has no instances: it is ignored", g.Name)
			continue
		case 1:
			b.warn(g.At, "vrrp_sync_group", "%s has one instance alone: that is not what a group is for", g.Name)
		}
		owners := 0
		g.Members = nil
		for _, i := range members {
			g.Members = append(g.Members, i.Name)
			if i.Priority == 255 {
				owners++
			}
			if !g.TrackingWeights {
				b.dropWeights(i, "in a sync group")
			}
		}
		if owners > 0 && owners < len(members) {
			b.findings = append(b.findings, Finding{
				At: g.At, Severity: Note, Keyword: "vrrp_sync_group",
				Reason: g.Name + ": only some of its instances own their addresses (priority 255): that can't work",
			})
		}
		if owners > 0 {
			clearWeights(&g.Track, func(t Tracked) {
				b.warn(g.At, "vrrp_sync_group", "%s: %s can't have a weight, a member has priority 255", g.Name, t.Name)
			})
		}
		g.SMTPAlert = *orElse(g.alerts, orElse(b.config.Global.SMTPAlertVRRP, orElse(b.config.Global.SMTPAlert, ptr(false))))
		b.config.VRRP.Groups = append(b.config.VRRP.Groups, g.SyncGroup)
	}
}

func (b *builder) members(g *groupBuild, taken map[string]bool) (members []*instanceBuild) {
	for _, name := range g.Members {
		i := slices.IndexFunc(b.vrrp.instances, func(i *instanceBuild) bool { return i.Name == name })
		switch {
		case i < 0:
			b.warn(g.At, "vrrp_sync_group", "%s: there is no vrrp_instance %s", g.Name, name)
		case taken[name]:
			b.warn(g.At, "vrrp_sync_group", "%s: %s is in a group already", g.Name, name)
		default:
			taken[name] = true
			members = append(members, b.vrrp.instances[i])
		}
	}
	return members
}

// finishTracked settles what instances track.
func (b *builder) finishTracked() {
	for _, i := range b.vrrp.instances {
		if i.Priority == 255 {
			b.dropWeights(i, "with priority 255")
		}
		i.Track.Interfaces = slices.DeleteFunc(i.Track.Interfaces, func(t Tracked) bool {
			if t.Name == i.Interface {
				b.warn(i.At, "track_interface", "%s: %s is its own interface: it is tracked anyway", i.Name, t.Name)
			}
			return t.Name == i.Interface
		})
	}
}

// dropScripts takes away the scripts that can't be run, which have no effect.
func (b *builder) dropScripts() {
	for _, s := range b.config.VRRP.Scripts {
		if strings.HasPrefix(s.Script.Command[0], "<") {
			continue // the shell's word: keepalived does not look for it
		}
		if _, err := exec.LookPath(s.Script.Command[0]); err == nil || len(b.vrrp.instances) == 0 {
			continue
		}
		b.warn(s.At, "vrrp_script", "%s: %s can't be run: it is not used", s.Name, s.Script.Command[0])
		gone := func(t Tracked) bool { return t.Name == s.Name }
		for _, i := range b.vrrp.instances {
			i.Track.Scripts = slices.DeleteFunc(i.Track.Scripts, gone)
		}
		for _, g := range b.vrrp.groups {
			g.Track.Scripts = slices.DeleteFunc(g.Track.Scripts, gone)
		}
	}
}

// dropWeights takes away the weights of trackers, which have no effect. keepalived leaves those of processes.
func (b *builder) dropWeights(i *instanceBuild, why string) {
	processes := i.Track.Processes
	i.Track.Processes = nil
	defer func() { i.Track.Processes = processes }()
	clearWeights(&i.Track, func(t Tracked) {
		b.warn(i.At, "vrrp_instance", "%s: %s has a weight, which has no effect %s", i.Name, t.Name, why)
	})
}

func clearWeights(t *Track, say func(Tracked)) {
	for _, list := range []*[]Tracked{&t.Interfaces, &t.Scripts, &t.Files, &t.Processes} {
		for n := range *list {
			if k := &(*list)[n]; k.Weight != 0 {
				say(*k)
				k.Weight = 0
			}
		}
	}
}
