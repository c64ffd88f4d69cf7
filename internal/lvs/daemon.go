package lvs

import (
	"errors"
	"net/netip"
)

// ErrDaemonRuns is the answer to starting a sync daemon that already runs.
var ErrDaemonRuns = errors.New("Daemon has already run") //nolint:staticcheck // ipvsadm's text

// SyncRole is the part that a connection sync daemon plays. The values are those of
// IP_VS_STATE_* in linux/ip_vs.h.
type SyncRole uint8

// The roles of a sync daemon; a director can play both.
const (
	SyncMaster SyncRole = 1 // sends its connections
	SyncBackup SyncRole = 2 // receives them
)

// String gives ipvsadm's word: master or backup.
func (r SyncRole) String() string {
	if r == SyncBackup {
		return "backup"
	}
	return "master"
}

// SyncDaemon is a connection sync daemon as configured. In a daemon that is to be started, a zero
// MaxLen, Group, Port or TTL stands for the default.
type SyncDaemon struct {
	Role      SyncRole
	Interface string     // that carries the multicast
	SyncID    uint8      // 0 at the backup accepts every master
	MaxLen    uint16     // of one message, bytes; by default what fits the interface's MTU
	Group     netip.Addr // multicast address, 224.0.0.81 by default
	Port      uint16     // UDP, 8848 by default
	TTL       uint8      // 1 by default
}
