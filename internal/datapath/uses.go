package datapath

import "sync/atomic"

// USES_* of bpf/types.h: what the programs need not look for unless it is there.
const (
	usesMarks     = 0x1
	usesAccess    = 0x2
	usesStandby   = 0x4
	usesFTP       = 0x8
	usesAnyPort   = 0x10
	usesLocal     = 0x20
	usesHostMarks = 0x40
	usesLeases    = 0x80
)

const ftpPort = 21

// setUses switches some of them on and off.
func (t *Table) setUses(mask, on uint32) {
	uses := &t.control.at(0).Uses
	atomic.StoreUint32(uses, atomic.LoadUint32(uses)&^mask|on) // the lock is held
}

// usesOf tells what a service has packets for other ports looked up for.
func usesOf(key directorServiceKey) uint32 {
	switch {
	case key.isMark():
		return usesHostMarks
	case key.Port == 0:
		return usesAnyPort
	case key.Port == bigEndian(ftpPort):
		return usesFTP
	}
	return 0
}

// addUses switches on what new services need, before they are in force.
func (t *Table) addUses(changed []*stagedService) {
	var on uint32
	for _, s := range changed {
		if s.there {
			on |= usesOf(s.key)
		}
	}
	t.setUses(on, on)
}

// settleUses switches off what no service needs any more.
func (t *Table) settleUses() {
	const ofServices = usesFTP | usesAnyPort | usesHostMarks
	var on uint32
	for key := range t.stored {
		if on |= usesOf(key); on == ofServices {
			break
		}
	}
	t.setUses(ofServices, on)
}
