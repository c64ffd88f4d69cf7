package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// linkPrefix begins the names of pinned links; the interface's name follows, without dots.
const linkPrefix = "link_"

// The modes of an attached program.
const (
	modeNative  = "native"
	modeGeneric = "generic"
)

// linkName names an interface's pinned link. A BPF file system refuses dots, and the names of
// interfaces have no percent signs (the kernel takes one for a template).
func linkName(ifname string) string {
	return linkPrefix + strings.ReplaceAll(ifname, ".", "%2e")
}

// interfaceOfLink undoes linkName.
func interfaceOfLink(name string) string {
	return strings.ReplaceAll(strings.TrimPrefix(name, linkPrefix), "%2e", ".")
}

// attachment is one pinned link, as the kernel has it now.
type attachment struct {
	Interface        // Index 0 and no Mode if the interface is gone
	program   uint32 // id
	pin       string
}

// attachments reads back what is attached, from the pinned links, in the order of their names.
func (f folder) attachments() ([]attachment, error) {
	pins, err := f.linkPins()
	if err != nil {
		return nil, err
	}
	var all []attachment
	for _, pin := range pins {
		a, err := attachmentOf(pin)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

func attachmentOf(pin string) (attachment, error) {
	index, program, err := linkTarget(pin)
	if err != nil {
		return attachment{}, err
	}
	a := attachment{Interface{Name: interfaceOfLink(filepath.Base(pin)), Index: index}, program, pin}
	if index == 0 {
		return a, nil
	}
	device, err := netlink.LinkByIndex(index)
	var moved netlink.LinkNotFoundError // to another namespace: as good as deleted
	switch {
	case errors.As(err, &moved):
		a.Index = 0
	case err != nil:
		return a, fmt.Errorf("look up interface %d (%s): %w", index, a.Name, err)
	default:
		a.Name = device.Attrs().Name // it may have been renamed
		a.Mode = xdpMode(device)
	}
	return a, nil
}

// xdpMode tells in which mode an interface runs its XDP program; "" without one.
func xdpMode(device netlink.Link) string {
	xdp := device.Attrs().Xdp
	switch {
	case xdp == nil || !xdp.Attached:
		return ""
	case xdp.AttachMode == nlXDPAttachedGeneric:
		return modeGeneric
	}
	return modeNative
}

// nlXDPAttachedGeneric is XDP_ATTACHED_SKB of linux/if_link.h.
const nlXDPAttachedGeneric = 2

// attach attaches a program to interfaces and pins the links: to all of them or, on an error, to none
// that had it not before. Those which have a link of this folder keep it. Where the driver has no
// native XDP, and where generic is asked for, the mode is generic; the first gives a warning.
// It needs the lock.
func (f folder) attach(program *ebpf.Program, interfaces []Interface, generic bool) (warnings []string, err error) {
	existing, err := f.attachments()
	if err != nil {
		return nil, err
	}
	attached := map[int]bool{}
	for _, a := range existing {
		attached[a.Index] = true
		if a.Index == 0 { // another interface may have come under the name
			if err := os.Remove(a.pin); err != nil {
				return nil, fmt.Errorf("unpin the link of a deleted interface: %w", err)
			}
		}
	}
	var made []string
	defer func() {
		if err != nil {
			for _, pin := range made {
				err = errors.Join(err, detachPin(pin))
			}
		}
	}()
	for _, wanted := range interfaces {
		if attached[wanted.Index] {
			continue
		}
		warning, err := attachOne(program, wanted, generic, f.pin(linkName(wanted.Name)))
		if err != nil {
			return nil, err
		}
		made = append(made, f.pin(linkName(wanted.Name)))
		attached[wanted.Index] = true
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	return warnings, nil
}

// attachOne attaches to one interface that has no link of ours.
func attachOne(program *ebpf.Program, to Interface, generic bool, pin string) (warning string, err error) {
	if err := refuseForeign(to.Index); err != nil {
		return "", err
	}
	flags := link.XDPDriverMode
	if generic {
		flags = link.XDPGenericMode
	}
	l, err := attachXDP(program, to.Index, flags)
	if err != nil && !generic && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EPERM) {
		native := err
		generic = true
		warning = fmt.Sprintf("%s: the driver refuses native XDP (%v), so generic mode is used: ", to.Name, native)
		if l, err = attachXDP(program, to.Index, link.XDPGenericMode); err != nil {
			err = fmt.Errorf("native: %w; generic: %w", native, err)
		}
	}
	if err != nil {
		return "", fmt.Errorf("attach to %s: %w", to.Name, err)
	}
	if generic && warning == "" {
		warning = to.Name + ": generic mode, as asked for: "
	}
	if generic {
		warning += fmt.Sprintf("each packet is first copied into a socket buffer, which is several times slower, "+
			"and frames that the kernel joins can't be forwarded (ethtool -K %s gro off)", to.Name)
	}
	defer l.Close() // the pin keeps it; without a pin this detaches
	if err := l.Pin(pin); err != nil {
		return "", fmt.Errorf("pin the link of %s: %w", to.Name, err)
	}
	return warning, nil
}

// attachXDP attaches in one mode. Its error has the kernel's words, if there are any.
func attachXDP(program *ebpf.Program, index int, mode link.XDPAttachFlags) (link.Link, error) {
	l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: index, Flags: mode})
	if err != nil {
		return nil, refusal(program, index, int(mode), err)
	}
	return l, nil
}

// A ForeignProgramError says that an interface carries an XDP program of somebody else.
type ForeignProgramError struct {
	Interface string
	Program   string // its name, or empty
	ID        uint32 // 0 if the kernel does not say (several programs)
}

// ServerProgram is the name of a real server's XDP program, as the kernel has it (see internal/realserver).
const ServerProgram = "drover_decap"

// DirectorProgram is that of the director's.
const DirectorProgram = "drover_xdp"

// Error names the interface and the program.
func (e *ForeignProgramError) Error() string {
	switch e.Program {
	case ServerProgram:
		return fmt.Sprintf("interface %s takes packets out of tunnels as a real server, and has one XDP program at most: "+
			"choose other interfaces, or \"drover realserver up --tunnel kernel\" there", e.Interface)
	case DirectorProgram:
		return fmt.Sprintf("interface %s has the director's data path, and one XDP program at most: "+
			"choose another interface, or --tunnel kernel", e.Interface)
	}
	return fmt.Sprintf("interface %s already has an XDP program that is not Drover's, %q (id %d): "+
		"it is left alone; remove it, or choose other interfaces", e.Interface, e.Program, e.ID)
}

// refuseForeign gives a ForeignProgramError if an interface has an XDP program. It is called only for
// interfaces that have no link of ours.
func refuseForeign(index int) error {
	device, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("look up interface %d: %w", index, err)
	}
	xdp := device.Attrs().Xdp
	if xdp == nil || !xdp.Attached {
		return nil
	}
	foreign := &ForeignProgramError{Interface: device.Attrs().Name, ID: xdp.ProgId}
	if program, err := ebpf.NewProgramFromID(ebpf.ProgramID(xdp.ProgId)); err == nil {
		defer program.Close()
		if info, err := program.Info(); err == nil {
			foreign.Program = info.Name
		}
	}
	return foreign
}

// replaceProgram puts another program in the place of that of every pinned link, without a gap: of
// all, or on an error of none. It needs the lock. After each it calls did.
func (f folder) replaceProgram(program *ebpf.Program, did func(string)) (err error) {
	existing, err := f.attachments()
	if err != nil {
		return err
	}
	var done []attachment
	defer func() {
		if err != nil {
			for _, a := range done {
				err = errors.Join(err, restoreProgram(a))
			}
		}
	}()
	for _, a := range existing {
		if a.Index == 0 {
			continue
		}
		// Open the old one by its id before it goes: nothing else may be holding it.
		old, err := ebpf.NewProgramFromID(ebpf.ProgramID(a.program))
		if err != nil {
			return fmt.Errorf("open the program on %s: %w", a.Name, err)
		}
		defer old.Close()
		if err := updateLink(a.pin, program); err != nil {
			return fmt.Errorf("replace the program on %s: %w", a.Name, err)
		}
		done = append(done, a)
		did("link " + a.Name)
	}
	return nil
}

// restoreProgram gives an attachment the program back that it had when it was read.
func restoreProgram(a attachment) error {
	old, err := ebpf.NewProgramFromID(ebpf.ProgramID(a.program))
	if err != nil {
		return fmt.Errorf("restore the program on %s: %w", a.Name, err)
	}
	defer old.Close()
	if err := updateLink(a.pin, old); err != nil {
		return fmt.Errorf("restore the program on %s: %w", a.Name, err)
	}
	return nil
}

func updateLink(pin string, program *ebpf.Program) error {
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Update(program)
}

// detach detaches every link and unpins it. It needs the lock.
func (f folder) detach() error {
	pins, err := f.linkPins()
	if err != nil {
		return err
	}
	for _, pin := range pins {
		if err := detachPin(pin); err != nil {
			return err
		}
	}
	return nil
}

// detachPin detaches first: unpinning alone does nothing while somebody else has the link open.
func detachPin(pin string) error {
	l, err := link.LoadPinnedLink(pin, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the pinned link %s: %w", filepath.Base(pin), err)
	}
	defer l.Close()
	if err := l.Detach(); err != nil && !errors.Is(err, unix.ENOLINK) { // its interface is gone
		return fmt.Errorf("detach %s: %w", filepath.Base(pin), err)
	}
	if err := os.Remove(pin); err != nil {
		return fmt.Errorf("unpin %s: %w", filepath.Base(pin), err)
	}
	return nil
}
