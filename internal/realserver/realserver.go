// Package realserver sets up the server's side of direct routing and tunnelling: the VIP on the loopback
// interface, ARP kept from answering for it (the "ARP problem" of LVS), and what takes a director's packets
// out of their tunnel. It works on the network namespace of the calling thread.
//
// IPv4: arp_ignore=1 answers ARP only for addresses of the interface asked on, arp_announce=2 never
// uses the VIP as the sender of an ARP request (Linux, Documentation/networking/ip-sysctl.rst). The
// value in force is the greater of conf/all and conf/INTERFACE, so conf/all alone is enough.
// IPv6: a solicitation is answered only on the interface that holds the address (RFC 4861, Section
// 7.2.3), and nothing solicits on loopback, so a VIP there is silent without any sysctl.
package realserver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// arpSysctls are set while the server holds IPv4 VIPs, in this order.
var arpSysctls = []struct{ name, value string }{
	{"net/ipv4/conf/all/arp_ignore", "1"},
	{"net/ipv4/conf/all/arp_announce", "2"},
}

// Up makes the Config true; calling it again changes nothing. First comes the tunnel, since it is what may
// be refused. Then ARP is suppressed for the VIPs, and only then they are put on lo, so that no neighbour
// ever learns a VIP from this machine. What an earlier Up brought and is not in the Config is taken away.
// A first Up that fails leaves nothing behind. Warnings are for a person; the error wraps ErrConfig if it is
// the Config that is wrong.
func Up(cfg Config) (warnings []string, err error) {
	if cfg, err = cfg.complete(); err != nil {
		return nil, err
	}
	before, err := readRecord(cfg.Record)
	if err != nil {
		return nil, err
	}
	held, err := kernel{}.vips()
	if err != nil {
		return nil, err
	}
	rec := before
	if warnings, err = upTunnel(cfg, &rec); err == nil {
		err = up(kernel{}, cfg)
	}
	if err == nil && cfg.Tunnel == Kernel { // the VIPs only now that ARP is suppressed
		err = addressDevices(cfg.VIPs)
	}
	if first := before.Tunnel == "" && len(before.VIPs) == 0; err != nil && first {
		err = errors.Join(err, undo(cfg, rec.Devices, held))
	}
	return warnings, err
}

// undo takes back what a first Up changed before it failed. VIPs that were on lo already stay.
func undo(cfg Config, made devices, held []netip.Addr) error {
	rec, err := readRecord(cfg.Record)
	if err == nil && len(rec.VIPs) > 0 {
		rec.VIPs = difference(rec.VIPs, held)
		err = rec.write(cfg.Record)
	}
	if err = errors.Join(err, Detach(), removeDevices(made)); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return down(kernel{}, Config{Record: cfg.Record})
}

// Down takes the VIPs from lo, those of the Config and those that Up brought, then puts the ARP sysctls
// back to what Up found, and takes the tunnel down. Calling it again, or without Up before, changes nothing
// more.
func Down(cfg Config) error {
	rec, err := readRecord(cfg.Record)
	if err != nil {
		return err
	}
	if err := Detach(); err != nil {
		return err
	}
	if err := removeDevices(rec.Devices); err != nil {
		return err
	}
	return down(kernel{}, cfg)
}

// upTunnel makes the kernel's devices or attaches the programs, and only then undoes what the Config has no
// more: what was there goes on if the new is refused.
func upTunnel(cfg Config, rec *record) (warnings []string, err error) {
	before, wanted := rec.Devices, devices{}
	if cfg.Tunnel == Kernel {
		warnings, wanted, err = makeDevices(cfg.Ports, before)
		if err != nil {
			return warnings, errors.Join(err, removeDevices(wanted.without(before)))
		}
		rec.Devices = before.with(wanted)
		if err := rec.write(cfg.Record); err != nil {
			return warnings, err
		}
	}
	more, err := upPrograms(cfg)
	warnings = append(warnings, more...)
	if err != nil {
		return warnings, err
	}
	if err := removeDevices(before.without(wanted)); err != nil {
		return warnings, err
	}
	rec.Devices, rec.Tunnel = wanted, cfg.Tunnel
	return warnings, rec.write(cfg.Record)
}

func upPrograms(cfg Config) (warnings []string, err error) {
	if cfg.Tunnel == XDP || cfg.ClampMSS {
		return attachPrograms(cfg)
	}
	return nil, Detach()
}

// A host is what Up and Down touch of a machine.
type host interface {
	sysctls
	loopback
}

type sysctls interface {
	sysctl(name string) (string, error)
	setSysctl(name, value string) error
}

type loopback interface {
	vips() ([]netip.Addr, error) // on lo, in host-long prefixes
	addVIP(netip.Addr) error
	deleteVIP(netip.Addr) error
}

func up(h host, cfg Config) error {
	rec, err := readRecord(cfg.Record)
	if err != nil {
		return err
	}
	held, err := h.vips()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(cfg.VIPs, netip.Addr.Is4) {
		if err := suppressARP(h, &rec, cfg.Record); err != nil {
			return err
		}
	}
	for _, vip := range rec.VIPs {
		if !slices.Contains(cfg.VIPs, vip) && slices.Contains(held, vip) {
			if err := h.deleteVIP(vip); err != nil {
				return err
			}
		}
	}
	rec.VIPs = cfg.VIPs
	if err := rec.write(cfg.Record); err != nil {
		return err
	}
	for _, vip := range cfg.VIPs {
		if slices.Contains(held, vip) {
			continue
		}
		if err := h.addVIP(vip); err != nil {
			return err
		}
	}
	return nil
}

// suppressARP sets the ARP sysctls. What they were goes to the record before the first change, and a
// value recorded by an earlier Up is kept: it is the one that was there before Drover.
func suppressARP(h host, rec *record, path string) error {
	for _, s := range arpSysctls {
		old, err := h.sysctl(s.name)
		if err != nil {
			return err
		}
		if _, known := rec.Sysctls[s.name]; !known {
			rec.Sysctls[s.name] = old
		}
	}
	if err := rec.write(path); err != nil {
		return err
	}
	for _, s := range arpSysctls {
		if err := h.setSysctl(s.name, s.value); err != nil {
			return err
		}
	}
	return nil
}

func down(h host, cfg Config) error {
	rec, err := readRecord(cfg.Record)
	if err != nil {
		return err
	}
	held, err := h.vips()
	if err != nil {
		return err
	}
	var failed []error
	for _, vip := range held {
		if slices.Contains(cfg.VIPs, vip) || slices.Contains(rec.VIPs, vip) {
			failed = append(failed, h.deleteVIP(vip))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("ARP stays suppressed: %w", err)
	}
	for _, s := range slices.Backward(arpSysctls) {
		if old, known := rec.Sysctls[s.name]; known {
			failed = append(failed, h.setSysctl(s.name, old))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return removeRecord(cfg.Record)
}
