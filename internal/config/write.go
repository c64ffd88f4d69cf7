package config

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"drover/internal/checker"
	"drover/internal/lvs"
)

// WriteText writes the effective model: with defaults, inheritance and limits applied.
func (c *Config) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	c.shown().writeText(out, 0)
	return out.Flush()
}

// WriteJSON writes the same for programs: an object for each block, with the text's names in small letters, such as
// "delay_loop", times in seconds, and blocks of one kind as a list.
func (c *Config) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(c.shown())
}

// shown is the model as it is shown.
func (c *Config) shown() *section {
	p := &shower{at: &section{kind: "configuration", name: c.File}}
	p.global(&c.Global)
	p.drover(&c.Drover)
	p.addresses("static address", c.VRRP.StaticAddresses)
	for i := range c.VirtualServers {
		p.virtual(&c.VirtualServers[i])
	}
	p.vrrp(&c.VRRP)
	return p.at
}

// A shower makes the sections of a model.
type shower struct{ at *section }

// block shows a section inside of the present one.
func (p *shower) block(kind, name string, f func()) {
	around := p.at
	p.at = &section{kind: kind, name: name}
	f()
	around.fields = append(around.fields, field{kind, p.at})
	p.at = around
}

// value shows a value that is not its type's zero.
func (p *shower) value(name string, value any) {
	if script, ok := value.(*Script); ok {
		value = ""
		if script != nil {
			value = script.text()
		}
	}
	if value != reflect.Zero(reflect.TypeOf(value)).Interface() {
		p.always(name, value)
	}
}

// always shows a value that is of interest also where it is 0.
func (p *shower) always(name string, value any) {
	p.at.fields = append(p.at.fields, field{name, value})
}

// each shows values of which there may be several.
func (p *shower) each(name string, values ...string) {
	if len(values) > 0 {
		p.always(name, values)
	}
}

func (s *Script) text() string {
	text := strings.Join(s.Command, " ")
	if s.User != "" {
		text += " as " + s.User
	}
	if s.Group != "" {
		text += ":" + s.Group
	}
	return text
}

func (p *shower) global(g *Global) {
	p.value("router ID", g.RouterID)
	p.value("mail to", strings.Join(g.NotificationEmail, " "))
	p.value("mail from", g.EmailFrom)
	p.value("mail server", g.SMTPHost)
	if g.SMTPHost != "" {
		p.value("mail timeout", g.SMTPTimeout)
	}
	p.value("script user", g.ScriptUser)
	p.value("script group", g.ScriptGroup)
	p.value("script security", g.ScriptSecurity)
	for _, f := range []struct {
		name string
		fifo *FIFO
	}{{"FIFO", g.NotifyFIFO}, {"FIFO of servers", g.LVSNotifyFIFO}, {"FIFO of VRRP", g.VRRPNotifyFIFO}} {
		if f.fifo != nil {
			p.value(f.name, f.fifo.Path)
			p.value(f.name+" script", f.fifo.Script)
		}
	}
	p.value("flush at start", g.Flush)
	p.value("flush at the end", map[FlushOnStop]string{FlushServers: "servers", FlushServices: "services"}[g.FlushOnStop])
	p.value("timeout tcp", g.Timeouts.TCP)
	p.value("timeout tcpfin", g.Timeouts.TCPFin)
	p.value("timeout udp", g.Timeouts.UDP)
}

func (p *shower) drover(d *Drover) {
	if d.MassFailureGuard > 0 {
		p.value("mass failure guard", fmt.Sprintf("%d %%", d.MassFailureGuard))
	}
	p.value("metrics", d.MetricsAddress)
	p.value("interfaces", strings.Join(d.Interfaces, " "))
	for _, w := range d.Webhooks {
		p.each("web hook", w.Kind+" "+w.URL)
	}
}

func (p *shower) virtual(v *VirtualServer) {
	p.block("virtual server", v.Name, func() {
		if v.Group != "" {
			for _, k := range v.Services {
				p.each("service", k.String())
			}
		}
		p.value("scheduler", v.Template.Scheduler+schedulerFlags(v.Template.Flags))
		if v.Template.Flags&lvs.Persistent != 0 {
			p.always("persistence", v.Template.Timeout)
			if v.Template.Netmask.IsValid() {
				p.value("granularity", v.Template.Netmask.String())
			}
			p.value("granularity", v.Template.PrefixLen)
		}
		p.always("quorum", amount(v.Quorum, v.QuorumPercent))
		if v.Hysteresis+v.HysteresisPercent > 0 {
			p.always("hysteresis", amount(v.Hysteresis, v.HysteresisPercent))
		}
		p.value("alpha", v.Alpha)
		p.value("omega", v.Omega)
		p.value("quorum up", v.QuorumUp)
		p.value("quorum down", v.QuorumDown)
		p.value("mail", v.SMTPAlert)
		p.value("HA suspend", v.HASuspend)
		if v.Sorry != nil {
			p.server("sorry server", v.Sorry)
		}
		for i := range v.RealServers {
			p.server("real server", &v.RealServers[i])
		}
	})
}

func amount(number, percent int) any {
	if percent > 0 {
		return fmt.Sprintf("%d %%", percent)
	}
	return number
}

func schedulerFlags(flags lvs.ServiceFlags) string {
	text := ""
	for _, f := range []struct {
		bit  lvs.ServiceFlags
		name string
	}{{lvs.OnePacket, "ops"}, {lvs.SchedFlag1, "flag-1"}, {lvs.SchedFlag2, "flag-2"}, {lvs.SchedFlag3, "flag-3"}} {
		if flags&f.bit != 0 {
			text += " " + f.name
		}
	}
	return text
}

func (p *shower) server(kind string, r *RealServer) {
	p.block(kind, r.Name, func() {
		p.value("forwarding", r.Destination.Forwarding.String())
		p.always("weight", int(r.Destination.Weight))
		p.value("upper threshold", int(r.Destination.Upper))
		p.value("lower threshold", int(r.Destination.Lower))
		p.value("inhibit on failure", r.Inhibit)
		p.value("slow start", r.SlowStart)
		p.value("notify up", r.NotifyUp)
		p.value("notify down", r.NotifyDown)
		p.value("mail", r.SMTPAlert && kind == "real server")
		for i := range r.Checks {
			p.check(&r.Checks[i])
		}
	})
}

func (p *shower) check(c *checker.Check) {
	name := string(c.Kind)
	if c.Dialog != nil {
		name = strings.ToUpper(c.Dialog.Protocol) + "_CHECK"
	}
	p.block("check", name, func() {
		if c.Misc == nil && c.File == nil {
			p.value("connect to", c.Addr.String())
			p.always("connect timeout", c.Timing.Timeout)
		}
		if c.Bind.IsValid() {
			p.value("bind to", c.Bind.String())
		}
		p.value("bind interface", c.Interface)
		p.value("mark", int(c.Mark))
		p.always("delay loop", c.Delay)
		p.always("warmup", c.Warmup)
		p.always("retry", c.Retry)
		p.always("delay before retry", c.RetryDelay)
		p.value("alpha", c.StartDown)
		p.kind(c)
	})
}

func (p *shower) kind(c *checker.Check) {
	switch {
	case c.HTTP != nil:
		p.value("protocol", string(c.HTTP.Version))
		p.value("virtual host", c.HTTP.VirtualHost)
		p.value("fast recovery", c.HTTP.FastRecovery)
		p.value("SNI", c.HTTP.SNI)
		for i := range c.HTTP.URLs {
			p.url(&c.HTTP.URLs[i])
		}
	case c.Misc != nil:
		p.value("program", (&Script{Command: c.Misc.Command, User: c.Misc.User, Group: c.Misc.Group}).text())
		p.always("timeout", c.Misc.Timeout)
		p.value("dynamic", c.Misc.Dynamic)
	case c.DNS != nil:
		p.value("question", c.DNS.Type+" "+c.DNS.Name)
	case c.SMTP != nil:
		p.value("HELO", c.SMTP.HELO)
	case c.UDP != nil:
		p.value("payload", fmt.Sprintf("%x", c.UDP.Payload))
		p.value("reply required", c.UDP.Require)
	case c.File != nil:
		p.value("file", c.File.Path)
		p.always("weight", c.File.Weight)
	case c.Dialog != nil:
		p.value("login", c.Dialog.User)
		p.value("database", c.Dialog.Database)
		p.value("request", c.Dialog.Request)
		p.value("receive", c.Dialog.Receive)
	}
}

func (p *shower) url(u *checker.URL) {
	p.block("url", u.Path, func() {
		p.value("virtual host", u.VirtualHost)
		var ranges []string
		for _, r := range u.Status {
			if r.From == r.To {
				ranges = append(ranges, fmt.Sprint(r.From))
			} else {
				ranges = append(ranges, fmt.Sprintf("%d-%d", r.From, r.To))
			}
		}
		p.value("status", strings.Join(ranges, " "))
		p.value("digest", u.Digest)
		if u.Regex != nil {
			p.value("regex", u.Regex.Pattern)
			p.value("must not match", u.Regex.Not)
		}
	})
}
