package ipvsadm

import (
	"slices"

	"drover/internal/lvs"
)

// argKind says whether a switch takes an argument.
type argKind int

const (
	noArgument argKind = iota
	needsArgument
	mayHaveArgument // only a word that does not begin with '-'
)

// A switchSpec is one switch of the command line: a command, which comes first, or an option.
type switchSpec struct {
	long    string
	short   byte // 0: none
	takes   argKind
	command command
	apply   func(*parser, argument) error // nil for a command without an argument
}

// switches is the whole grammar of ipvsadm 1.31.
var switches = slices.Concat(commandSwitches, serviceSwitches, serverSwitches, listSwitches, daemonSwitches)

var commandSwitches = []switchSpec{
	{long: "add-service", short: 'A', command: addService},
	{long: "edit-service", short: 'E', command: editService},
	{long: "delete-service", short: 'D', command: deleteService},
	{long: "clear", short: 'C', command: flush},
	{long: "list", short: 'L', command: list},
	{long: "list", short: 'l', command: list},
	{long: "zero", short: 'Z', command: zero},
	{long: "add-server", short: 'a', command: addServer},
	{long: "edit-server", short: 'e', command: editServer},
	{long: "delete-server", short: 'd', command: deleteServer},
	{long: "set", command: setTimeouts},
	{long: "help", short: 'h', command: help},
	{long: "version", short: 'v', command: version},
	{long: "restore", short: 'R', command: restore},
	{long: "save", short: 'S', command: save},
	{long: "start-daemon", takes: needsArgument, command: startDaemon, apply: (*parser).daemonToStart},
	{long: "stop-daemon", takes: needsArgument, command: stopDaemon, apply: (*parser).daemonToStop},
}

var serviceSwitches = []switchSpec{
	{long: "tcp-service", short: 't', takes: needsArgument, apply: serviceAddress(lvs.TCP)},
	{long: "udp-service", short: 'u', takes: needsArgument, apply: serviceAddress(lvs.UDP)},
	{long: "sctp-service", takes: needsArgument, apply: serviceAddress(lvs.SCTP)},
	{long: "fwmark-service", short: 'f', takes: needsArgument, apply: (*parser).fwmark},
	{long: "ipv6", short: '6', apply: (*parser).ipv6},
	{long: "scheduler", short: 's', takes: needsArgument, apply: (*parser).scheduler},
	{long: "persistent", short: 'p', takes: mayHaveArgument, apply: (*parser).persistent},
	{long: "netmask", short: 'M', takes: needsArgument, apply: (*parser).netmask},
	{long: "ops", short: 'o', apply: (*parser).onePacket},
	{long: "pe", takes: needsArgument, apply: (*parser).persistenceEngine},
	{long: "sched-flags", short: 'b', takes: needsArgument, apply: (*parser).schedulerFlags},
}

var serverSwitches = []switchSpec{
	{long: "real-server", short: 'r', takes: needsArgument, apply: (*parser).realServer},
	{long: "masquerading", short: 'm', apply: forwarding(lvs.Masquerade)},
	{long: "ipip", short: 'i', apply: forwarding(lvs.Tunnel)},
	{long: "gatewaying", short: 'g', apply: forwarding(lvs.DirectRoute)},
	{long: "weight", short: 'w', takes: needsArgument, apply: (*parser).weight},
	{long: "u-threshold", short: 'x', takes: needsArgument, apply: (*parser).upper},
	{long: "l-threshold", short: 'y', takes: needsArgument, apply: (*parser).lower},
	{long: "tun-type", takes: needsArgument, apply: (*parser).tunnelType},
	{long: "tun-port", takes: needsArgument, apply: (*parser).tunnelPort},
	{long: "tun-nocsum", apply: tunnelFlag(optTunNoCsum, lvs.TunnelNoChecksum)},
	{long: "tun-csum", apply: tunnelFlag(optTunCsum, lvs.TunnelChecksum)},
	{long: "tun-remcsum", apply: tunnelFlag(optTunRemCsum, lvs.TunnelRemoteChecksum)},
}

var listSwitches = []switchSpec{
	{long: "numeric", short: 'n', apply: plain(optNumeric)},
	{long: "connection", short: 'c', apply: plain(optConnection)},
	{long: "timeout", apply: plain(optTimeout)},
	{long: "daemon", apply: plain(optDaemon)},
	{long: "stats", apply: plain(optStats)},
	{long: "rate", apply: plain(optRate)},
	{long: "thresholds", apply: plain(optThresholds)},
	{long: "persistent-conn", apply: plain(optPersistentConn)},
	{long: "nosort", apply: plain(optNoSort)},
	{long: "sort", apply: func(*parser, argument) error { return nil }}, // the default
	{long: "exact", short: 'X', apply: plain(optExact)},
	{long: "tun-info", apply: plain(optTunInfo)},
}

var daemonSwitches = []switchSpec{
	{long: "mcast-interface", takes: needsArgument, apply: (*parser).mcastInterface},
	{long: "syncid", takes: needsArgument, apply: (*parser).syncID},
	{long: "mcast-group", takes: needsArgument, apply: (*parser).mcastGroup},
	{long: "mcast-port", takes: needsArgument, apply: (*parser).mcastPort},
	{long: "mcast-ttl", takes: needsArgument, apply: (*parser).mcastTTL},
	{long: "sync-maxlen", takes: needsArgument, apply: (*parser).syncMaxLen},
}

func findLong(name string) *switchSpec {
	for i := range switches {
		if switches[i].long == name {
			return &switches[i]
		}
	}
	return nil
}

func findShort(c byte) *switchSpec {
	for i := range switches {
		if switches[i].short == c && c != 0 {
			return &switches[i]
		}
	}
	return nil
}
