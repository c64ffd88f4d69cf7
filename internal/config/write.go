package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"drover/internal/checker"
	"drover/internal/lvs"
)

// WriteText writes the effective model: with defaults, inheritance and limits applied.
func (c *Config) WriteText(w io.Writer) error {
	p := &textWriter{w: bufio.NewWriter(w)}
	p.line("configuration %s", c.File)
	p.inner(func() { p.global(&c.Global); p.drover(&c.Drover) })
	for i := range c.VirtualServers {
		p.virtual(&c.VirtualServers[i])
	}
	p.vrrp(&c.VRRP)
	return p.w.Flush()
}

// A textWriter writes indented lines.
type textWriter struct {
	w     *bufio.Writer
	depth int
}

func (p *textWriter) line(format string, args ...any) {
	if format != "" {
		fmt.Fprint(p.w, strings.Repeat("  ", p.depth))
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

func (p *textWriter) inner(f func()) {
	p.depth++
	f()
	p.depth--
}

// value writes a name and a value in columns; zero values are left out.
func (p *textWriter) value(name string, value any) {
	switch v := value.(type) {
	case string:
		if v == "" {
			return
		}
	case int:
		if v == 0 {
			return
		}
	case bool:
		if !v {
			return
		}
		value = "yes"
	case time.Duration:
		value = seconds(v)
	case *Script:
		if v == nil {
			return
		}
		value = v.text()
	}
	p.line("%-*s %v", 26-2*p.depth, name, value)
}

// seconds gives "3 s", "0.5 s".
func seconds(d time.Duration) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.6f", d.Seconds()), "0"), ".") + " s"
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

func (p *textWriter) global(g *Global) {
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
	for _, t := range []struct {
		name string
		d    time.Duration
	}{{"timeout tcp", g.Timeouts.TCP}, {"timeout tcpfin", g.Timeouts.TCPFin}, {"timeout udp", g.Timeouts.UDP}} {
		if t.d > 0 {
			p.value(t.name, t.d)
		}
	}
}

func (p *textWriter) drover(d *Drover) {
	if d.MassFailureGuard > 0 {
		p.value("mass failure guard", fmt.Sprintf("%d %%", d.MassFailureGuard))
	}
	p.value("metrics", d.MetricsAddress)
	p.value("interfaces", strings.Join(d.Interfaces, " "))
	for _, w := range d.Webhooks {
		p.value("web hook", w.Kind+" "+w.URL)
	}
}

func (p *textWriter) virtual(v *VirtualServer) {
	p.line("")
	p.line("virtual server %s", v.Name)
	p.inner(func() {
		if v.Group != "" {
			for _, k := range v.Services {
				p.value("service", k.String())
			}
		}
		p.value("scheduler", v.Template.Scheduler+schedulerFlags(v.Template.Flags))
		if v.Template.Flags&lvs.Persistent != 0 {
			p.value("persistence", v.Template.Timeout)
			if v.Template.Netmask.IsValid() {
				p.value("granularity", v.Template.Netmask.String())
			}
			p.value("granularity", v.Template.PrefixLen)
		}
		p.value("quorum", amount(v.Quorum, v.QuorumPercent))
		if v.Hysteresis+v.HysteresisPercent > 0 {
			p.value("hysteresis", amount(v.Hysteresis, v.HysteresisPercent))
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

func amount(number, percent int) string {
	if percent > 0 {
		return fmt.Sprintf("%d %%", percent)
	}
	return fmt.Sprint(number)
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

func (p *textWriter) server(kind string, r *RealServer) {
	p.line("%s %s", kind, r.Name)
	p.inner(func() {
		p.value("forwarding", r.Destination.Forwarding.String())
		p.value("weight", fmt.Sprint(r.Destination.Weight))
		p.value("upper threshold", int(r.Destination.Upper))
		p.value("lower threshold", int(r.Destination.Lower))
		p.value("inhibit on failure", r.Inhibit)
		if r.SlowStart > 0 {
			p.value("slow start", r.SlowStart)
		}
		p.value("notify up", r.NotifyUp)
		p.value("notify down", r.NotifyDown)
		p.value("mail", r.SMTPAlert && kind == "real server")
		for i := range r.Checks {
			p.check(&r.Checks[i])
		}
	})
}

func (p *textWriter) check(c *checker.Check) {
	name := string(c.Kind)
	if c.Dialog != nil {
		name = strings.ToUpper(c.Dialog.Protocol) + "_CHECK"
	}
	p.line("%s", name)
	p.inner(func() {
		if c.Misc == nil && c.File == nil {
			p.value("connect to", c.Addr.String())
			p.value("connect timeout", c.Timing.Timeout)
		}
		if c.Bind.IsValid() {
			p.value("bind to", c.Bind.String())
		}
		p.value("bind interface", c.Interface)
		p.value("mark", int(c.Mark))
		p.value("delay loop", c.Delay)
		p.value("warmup", c.Warmup)
		p.value("retry", fmt.Sprint(c.Retry))
		p.value("delay before retry", c.RetryDelay)
		p.value("alpha", c.StartDown)
		p.kind(c)
	})
}

func (p *textWriter) kind(c *checker.Check) {
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
		p.value("timeout", c.Misc.Timeout)
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
		p.value("weight", fmt.Sprint(c.File.Weight))
	case c.Dialog != nil:
		p.value("login", c.Dialog.User)
		p.value("database", c.Dialog.Database)
		p.value("request", c.Dialog.Request)
		p.value("receive", c.Dialog.Receive)
	}
}

func (p *textWriter) url(u *checker.URL) {
	p.line("url %s", u.Path)
	p.inner(func() {
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
