package config

import (
	"os/exec"
	"slices"
)

// The exit statuses of keepalived -t.
const (
	StatusFine       = 0
	StatusUnreadable = 4
	StatusFindings   = 5
	StatusInsecure   = 6
)

// ExitStatus is that of keepalived -t for a configuration that could be read: 6 for scripts that nothing keeps others from
// changing, else 5 for any error or warning, with strict also for notes.
func ExitStatus(c *Config, findings []Finding, strict bool) int {
	if !c.Global.ScriptSecurity && c.runsScripts() {
		return StatusInsecure
	}
	for _, f := range findings {
		if f.Severity > Note || strict {
			return StatusFindings
		}
	}
	return StatusFine
}

// runsScripts tells whether the pools run any program that is there.
func (c *Config) runsScripts() bool {
	for i := range c.VirtualServers {
		v := &c.VirtualServers[i]
		if v.QuorumUp.isThere() || v.QuorumDown.isThere() {
			return true
		}
		for j := range v.RealServers {
			r := &v.RealServers[j]
			if r.NotifyUp.isThere() || r.NotifyDown.isThere() {
				return true
			}
			for k := range r.Checks {
				if m := r.Checks[k].Misc; m != nil && (&Script{Command: m.Command}).isThere() {
					return true
				}
			}
		}
	}
	return c.VRRP.runsScripts()
}

// runsScripts tells it of VRRP, where there are instances.
func (v *VRRP) runsScripts() bool {
	tells := func(n *Notify) bool {
		return slices.ContainsFunc([]*Script{n.Any, n.Master, n.Backup, n.Fault, n.Stop, n.Deleted, n.LowerPriority}, (*Script).isThere)
	}
	return slices.ContainsFunc(v.Instances, func(i Instance) bool { return tells(&i.Notify) }) ||
		slices.ContainsFunc(v.Groups, func(g SyncGroup) bool { return tells(&g.Notify) }) ||
		len(v.Instances) > 0 && slices.ContainsFunc(v.Scripts, func(s TrackScript) bool { return s.Script.isThere() })
}

func (s *Script) isThere() bool {
	if s == nil {
		return false
	}
	_, err := exec.LookPath(s.Command[0])
	return err == nil
}
