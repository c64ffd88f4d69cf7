//go:build kernel61

package kernel

import (
	"fmt"
	"os"
	"strings"
)

// nftMarks is where the kernel's mark rules are: it has none besides.
const nftMarks = "add table inet marks\nadd chain inet marks pre { type filter hook prerouting priority mangle; }\n"

// set gives both directors a mark rule, or another value of a tune.
func (p *pair) set(s *setting) error {
	p.settings = append(p.settings, s)
	if s.tune != "" {
		return p.tune(s.tune, s.value)
	}
	family := "ip"
	if s.vip.Addr().Is6() {
		family = "ip6"
	}
	rule := fmt.Sprintf("add rule inet marks pre %s daddr %s %s dport %d meta mark set %s\n",
		family, s.vip.Addr(), s.protocol, s.vip.Port(), s.value)
	if err := p.kernel.must("nft", []string{"-f", "-"}, nftMarks+rule); err != nil {
		return err
	}
	return p.drover.must("drover", []string{
		"mark", "add", "--mark", s.value, "--proto", s.protocol, "--dst", s.vip.Addr().String(), "--dport", fmt.Sprint(s.vip.Port()),
	}, "")
}

func (p *pair) tune(name, value string) error {
	err := p.kernel.run(func() error { return os.WriteFile("/proc/sys/net/ipv4/vs/"+name, []byte(value), 0o644) })
	if err != nil {
		return err
	}
	return p.drover.must("drover", []string{"tune", "set", name, value}, "")
}

// unset takes back what set has set.
func (p *pair) unset() error {
	marked := false
	for _, s := range p.settings {
		if s.tune == "" {
			marked = true
			continue
		}
		if err := p.tune(s.tune, tuneDefaults[s.tune]); err != nil {
			return err
		}
	}
	p.settings = nil
	if !marked {
		return nil
	}
	return firstError(p.kernel.must("nft", []string{"flush", "ruleset"}, ""), p.drover.must("drover", []string{"mark", "flush"}, ""))
}

// must runs a program that is to say nothing.
func (d *director) must(program string, args []string, stdin string) error {
	var got result
	err := d.run(func() (err error) {
		got, err = d.command(program, args, stdin)
		return err
	})
	if err == nil && (got.Status != 0 || got.Stderr != "") {
		err = fmt.Errorf("%s: %s %s: %+v", d.name, program, strings.Join(args, " "), got)
	}
	return err
}
