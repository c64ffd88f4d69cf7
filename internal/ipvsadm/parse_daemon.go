package ipvsadm

import (
	"math"
	"net/netip"
	"strings"

	"drover/internal/lvs"
)

// maxInterfaceName is IFNAMSIZ less the closing zero (linux/if.h).
const maxInterfaceName = 15

// maxSyncMessage is the longest sync message: what an IPv4 and a UDP header leave of 65535 bytes.
const maxSyncMessage = 65535 - 20 - 8

func (p *parser) daemonToStart(arg argument) error {
	return p.role(arg, "illegal start-daemon parameter specified")
}

func (p *parser) daemonToStop(arg argument) error {
	return p.role(arg, "illegal start_daemon specified") // ipvsadm's words
}

func (p *parser) role(arg argument, otherwise string) error {
	for _, role := range []lvs.SyncRole{lvs.SyncMaster, lvs.SyncBackup} {
		if arg.text == role.String() {
			p.daemon.Role = role
			return nil
		}
	}
	return refuse("%s", otherwise)
}

func (p *parser) mcastInterface(arg argument) error {
	p.daemon.Interface = arg.text[:min(len(arg.text), maxInterfaceName)]
	return p.options.add(optMcastInterface)
}

func (p *parser) syncID(arg argument) error {
	n, err := p.number(optSyncID, arg, "syncid", 0, math.MaxUint8)
	p.daemon.SyncID = uint8(n)
	return err
}

func (p *parser) mcastGroup(arg argument) error {
	if err := p.options.add(optMcastGroup); err != nil {
		return err
	}
	family := "IPv4"
	if strings.Contains(arg.text, ":") {
		family = "IPv6"
	}
	group, err := netip.ParseAddr(arg.text)
	if err != nil || group.Zone() != "" || !isMulticast(group) {
		return refuse("invalid %s mcast-group `%s'", family, arg.text)
	}
	p.daemon.Group = group
	return nil
}

// isMulticast does not unmap: ::ffff:224.0.0.1 is no multicast address to ipvsadm.
func isMulticast(a netip.Addr) bool { return !a.Is4In6() && a.IsMulticast() }

func (p *parser) mcastPort(arg argument) error {
	n, err := p.number(optMcastPort, arg, "mcast-port", 1, math.MaxUint16)
	p.daemon.Port = uint16(n)
	return err
}

func (p *parser) mcastTTL(arg argument) error {
	n, err := p.number(optMcastTTL, arg, "mcast-ttl", 1, math.MaxUint8)
	p.daemon.TTL = uint8(n)
	return err
}

func (p *parser) syncMaxLen(arg argument) error {
	n, err := p.number(optSyncMaxLen, arg, "sync-maxlen", 1, maxSyncMessage)
	p.daemon.MaxLen = uint16(n)
	return err
}
