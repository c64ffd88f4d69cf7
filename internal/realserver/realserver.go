// Package realserver sets up the server's side of direct routing: the VIP on the loopback interface,
// and ARP kept from answering for it (the "ARP problem" of LVS). It works on the network namespace
// of the calling thread.
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

// Config is the state wanted.
type Config struct {
	VIPs []netip.Addr // IPv4 and IPv6
	// Record is the path of the file that keeps what Up changed until Down takes it back. It must
	// belong to one network namespace, and its folder must exist.
	Record string
}

// arpSysctls are set while the server holds IPv4 VIPs, in this order.
var arpSysctls = []struct{ name, value string }{
	{"net/ipv4/conf/all/arp_ignore", "1"},
	{"net/ipv4/conf/all/arp_announce", "2"},
}

// Up suppresses ARP for the VIPs and only then puts them on lo, so that no neighbour ever learns a
// VIP from this machine. VIPs that an earlier Up brought and that are no longer in the Config are
// taken away. Calling it again changes nothing.
func Up(cfg Config) error { return up(kernel{}, cfg) }

// Down takes the VIPs from lo, those of the Config and those that Up brought, and only then puts the
// ARP sysctls back to what Up found. Calling it again, or without Up before, changes nothing more.
func Down(cfg Config) error { return down(kernel{}, cfg) }

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
