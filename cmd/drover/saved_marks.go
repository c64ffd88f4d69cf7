package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"

	"drover/internal/lvs"
)

// savedMarks are the rules that mark packets, in their order.
type savedMarks struct{}

func (savedMarks) word() string  { return "mark" }
func (savedMarks) title() string { return "Rules that mark packets, in their order" }

func (savedMarks) lines(t savedTable) ([]string, error) {
	rules, err := t.Marks()
	var lines []string
	for _, r := range rules {
		lines = append(lines, "add "+strings.Join(markWords(r), " "))
	}
	return lines, err
}

// markWords are the flags that make a rule again.
func markWords(r lvs.MarkRule) []string {
	mark := fmt.Sprint(r.Value)
	if r.Mask != 0xffffffff {
		mark = fmt.Sprintf("%#x/%#x", r.Value, r.Mask)
	}
	words := []string{"--mark", mark}
	if r.Only != 0 && !r.Destination.IsValid() && !r.Source.IsValid() {
		words = append(words, "--family", fmt.Sprint(uint8(r.Only)))
	}
	for _, w := range []struct{ flag, value string }{
		{"--proto", protocolText(r.Protocol, "")},
		{"--dst", prefixText(r.Destination, "")},
		{"--dport", r.Ports.String()},
		{"--src", prefixText(r.Source, "")},
		{"--sport", r.SourcePorts.String()},
		{"--in", r.Interface},
	} {
		if w.value != "" {
			words = append(words, w.flag, w.value)
		}
	}
	return words
}

func (savedMarks) forget(r *restoration) error {
	r.after = append(r.after, func() error { return r.table.SetMarks(r.marks) })
	return nil
}

func (savedMarks) read(words []string) (func(*restoration) error, error) {
	if len(words) == 0 || words[0] != "add" {
		return nil, errors.New("expected mark add --mark N, and what it matches")
	}
	var f markFlags
	set := pflag.NewFlagSet("mark add", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	f.addTo(set)
	if err := set.Parse(words[1:]); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("%q: expected flags of mark add alone", set.Arg(0))
	}
	rule, err := f.rule()
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	return func(r *restoration) error {
		r.marks = append(r.marks, rule)
		return r.table.CheckMarks(r.marks)
	}, nil
}

// savedStandby are the VIPs that another director has.
type savedStandby struct{}

func (savedStandby) word() string  { return "datapath" }
func (savedStandby) title() string { return "VIPs that another director has" }

func (savedStandby) lines(t savedTable) ([]string, error) {
	vips, err := t.Standby()
	var lines []string
	for _, vip := range vips {
		lines = append(lines, "vip "+vip.String()+" "+vipStandby)
	}
	return lines, err
}

func (savedStandby) forget(r *restoration) error {
	r.after = append(r.after, func() error {
		now, err := r.table.Standby()
		if err != nil {
			return err
		}
		for _, vip := range now {
			if err := r.table.SetStandby(vip, false); err != nil {
				return err
			}
		}
		for _, vip := range r.standby {
			if err := r.table.SetStandby(vip, true); err != nil {
				return err
			}
		}
		return nil
	})
	return nil
}

func (savedStandby) read(words []string) (func(*restoration) error, error) {
	if len(words) != 3 || words[0] != "vip" || words[2] != vipStandby {
		return nil, errors.New("expected datapath vip VIP standby")
	}
	vip, err := netip.ParseAddr(words[1])
	if err != nil || vip.Zone() != "" {
		return nil, fmt.Errorf("%q: expected an IPv4 or IPv6 address", words[1])
	}
	return func(r *restoration) error { r.standby = append(r.standby, vip.Unmap()); return nil }, nil
}
