package config

import "os/exec"

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
	return false
}

func (s *Script) isThere() bool {
	if s == nil {
		return false
	}
	_, err := exec.LookPath(s.Command[0])
	return err == nil
}
