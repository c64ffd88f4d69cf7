package realserver

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"drover/internal/datapath"
)

const (
	clampPrefix  = "clamp_" // of pinned TCX links; the interface's name follows, without dots
	clampProgram = "drover_clamp"
)

// attachClamp attaches the program that lowers segment sizes to what leaves these interfaces, and detaches
// it from all others: by TCX (Linux 6.6), else by a filter of clsact.
func attachClamp(folder string, program *ebpf.Program, interfaces []datapath.Interface) error {
	wanted := map[string]bool{}
	filtered := map[int]bool{}
	for _, i := range interfaces {
		pin := filepath.Join(folder, clampPrefix+strings.ReplaceAll(i.Name, ".", "%2e"))
		wanted[pin] = true
		err := attachTCX(program, i, pin)
		if errors.Is(err, ebpf.ErrNotSupported) {
			filtered[i.Index] = true
			err = addFilter(program, i.Index)
		}
		if err != nil {
			return fmt.Errorf("clamp segment sizes on %s: %w", i.Name, err)
		}
	}
	pins, err := filepath.Glob(filepath.Join(folder, clampPrefix+"*"))
	if err != nil {
		return err
	}
	for _, pin := range pins {
		if !wanted[pin] {
			if err := datapath.DetachProgram(pin); err != nil {
				return err
			}
		}
	}
	return removeFilters(filtered)
}

func attachTCX(program *ebpf.Program, to datapath.Interface, pin string) error {
	l, err := link.LoadPinnedLink(pin, nil)
	if err == nil {
		defer l.Close()
		info, err := l.Info()
		if err != nil {
			return err
		}
		if tcx := info.TCX(); tcx != nil && int(tcx.Ifindex) == to.Index {
			return l.Update(program)
		}
		if err := datapath.DetachProgram(pin); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err = link.AttachTCX(link.TCXOptions{Interface: to.Index, Program: program, Attach: ebpf.AttachTCXEgress})
	if err != nil {
		return err
	}
	defer l.Close() // the pin keeps it; without a pin this detaches
	return l.Pin(pin)
}

// addFilter attaches as tc(8) does: "tc qdisc add dev IF clsact; tc filter replace dev IF egress bpf da".
func addFilter(program *ebpf.Program, index int) error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.MakeHandle(0xffff, 0),
	}}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add clsact: %w", err)
	}
	return netlink.FilterReplace(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: netlink.HANDLE_MIN_EGRESS, Handle: 1, Priority: 0xd0,
			Protocol: unix.ETH_P_ALL,
		},
		Fd: program.FD(), Name: clampProgram, DirectAction: true,
	})
}

// removeFilters removes ours from all interfaces but these, and clsact where nothing else uses it.
func removeFilters(but map[int]bool) error {
	qdiscs, err := netlink.QdiscList(nil)
	if err != nil {
		return fmt.Errorf("list the queueing disciplines: %w", err)
	}
	for _, qdisc := range qdiscs {
		index := qdisc.Attrs().LinkIndex
		if qdisc.Type() != "clsact" || but[index] {
			continue
		}
		if err := removeFilter(index, qdisc); err != nil {
			return fmt.Errorf("stop clamping on interface %d: %w", index, err)
		}
	}
	return nil
}

func removeFilter(index int, qdisc netlink.Qdisc) error {
	device, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	ours, others := []netlink.Filter{}, 0
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := netlink.FilterList(device, parent)
		if err != nil {
			return err
		}
		for _, filter := range filters {
			bpf, ok := filter.(*netlink.BpfFilter)
			switch {
			case filter.Attrs().Handle == 0: // the head of a list of filters
			case ok && bpf.Name == clampProgram:
				ours = append(ours, filter)
			default:
				others++
			}
		}
	}
	if len(ours) == 0 {
		return nil
	}
	for _, filter := range ours {
		if err := netlink.FilterDel(filter); err != nil {
			return err
		}
	}
	if others > 0 {
		return nil
	}
	return netlink.QdiscDel(qdisc)
}
