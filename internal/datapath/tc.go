package datapath

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A TCHook is a program where packets come in by an interface, or leave by it.
type TCHook struct {
	Program *ebpf.Program
	Name    string // of the filter, where it is one
	To      Interface
	Ingress bool
}

// filterPriority of our filters; whoever lists filters sees it as 208.
const filterPriority = 0xd0

// AttachTC makes sure that the hook is there: by TCX (Linux 6.6), whose link is pinned, else by a filter of
// clsact. A link that is there gets the program without a gap.
func AttachTC(h TCHook, pin string) (filtered bool, err error) {
	err = attachTCX(h, pin)
	if errors.Is(err, ebpf.ErrNotSupported) {
		return true, AddTCFilter(h)
	}
	return false, err
}

func attachTCX(h TCHook, pin string) error {
	l, err := link.LoadPinnedLink(pin, nil)
	if err == nil {
		defer l.Close()
		info, err := l.Info()
		if err != nil {
			return err
		}
		if tcx := info.TCX(); tcx != nil && int(tcx.Ifindex) == h.To.Index {
			return l.Update(h.Program)
		}
		if err := DetachProgram(pin); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	where := ebpf.AttachTCXEgress
	if h.Ingress {
		where = ebpf.AttachTCXIngress
	}
	l, err = link.AttachTCX(link.TCXOptions{Interface: h.To.Index, Program: h.Program, Attach: where})
	if err != nil {
		return err
	}
	defer l.Close() // the pin keeps it; without a pin this detaches
	return l.Pin(pin)
}

// AddTCFilter attaches as tc(8) does: "tc qdisc add dev IF clsact; tc filter replace dev IF egress bpf da".
func AddTCFilter(h TCHook) error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: h.To.Index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.MakeHandle(0xffff, 0),
	}}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add clsact: %w", err)
	}
	parent := uint32(netlink.HANDLE_MIN_EGRESS)
	if h.Ingress {
		parent = netlink.HANDLE_MIN_INGRESS
	}
	return netlink.FilterReplace(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: h.To.Index, Parent: parent, Handle: 1, Priority: filterPriority, Protocol: unix.ETH_P_ALL,
		},
		Fd: h.Program.FD(), Name: h.Name, DirectAction: true,
	})
}

// RemoveTCFilters removes the filters of a name from all interfaces but these, and clsact where nothing else
// uses it.
func RemoveTCFilters(name string, but map[int]bool) error {
	qdiscs, err := netlink.QdiscList(nil)
	if err != nil {
		return fmt.Errorf("list the queueing disciplines: %w", err)
	}
	for _, qdisc := range qdiscs {
		index := qdisc.Attrs().LinkIndex
		if qdisc.Type() != "clsact" || but[index] {
			continue
		}
		if err := removeFilter(name, index, qdisc); err != nil {
			return fmt.Errorf("remove the filter %s from interface %d: %w", name, index, err)
		}
	}
	return nil
}

func removeFilter(name string, index int, qdisc netlink.Qdisc) error {
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
			case ok && bpf.Name == name:
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
