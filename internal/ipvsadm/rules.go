package ipvsadm

import "drover/internal/lvs"

// rules say which options go with a command or with a tunnel type. What is in none of the sets
// is illegal there.
type rules struct {
	required  optionSet
	optional  optionSet
	exclusive optionSet // one of them at most
}

var (
	serviceRules = rules{
		required: setOf(optService),
		optional: setOf(optScheduler, optPersistent, optNetmask, optOnePacket, optPE, optSchedFlags),
	}
	serverRules = rules{
		required: setOf(optService, optServer),
		optional: setOf(optForward, optWeight, optUpper, optLower,
			optTunType, optTunPort, optTunNoCsum, optTunCsum, optTunRemCsum),
	}
	commandRules = map[command]rules{
		addService:    serviceRules,
		editService:   serviceRules,
		deleteService: {required: setOf(optService)},
		addServer:     serverRules,
		editServer:    serverRules,
		deleteServer:  {required: setOf(optService, optServer)},
		list: {
			optional: setOf(optNumeric, optStats, optRate, optThresholds, optPersistentConn, optNoSort,
				optSyncID, optExact, optTunInfo),
			exclusive: setOf(optConnection, optService, optTimeout, optDaemon),
		},
		startDaemon: {optional: setOf(optMcastInterface, optSyncID, optMcastGroup, optMcastPort,
			optMcastTTL, optSyncMaxLen)},
		stopDaemon: {optional: setOf(optSyncID)},
		save:       {optional: setOf(optNumeric)},
		zero:       {optional: setOf(optService)},
	}
)

var (
	tunnelOptions = setOf(optTunType, optTunPort, optTunNoCsum, optTunCsum, optTunRemCsum)
	tunnelRules   = map[lvs.TunnelType]rules{
		lvs.IPIP: {},
		lvs.GUE:  {required: setOf(optTunPort), exclusive: setOf(optTunNoCsum, optTunCsum, optTunRemCsum)},
		lvs.GRE:  {exclusive: setOf(optTunNoCsum, optTunCsum)},
	}
)

// check holds the options given against the rules. place names what has the rules in a message:
// "'list' command".
func (r rules) check(given optionSet, place string) error {
	last := optionCount
	for o := range optionCount {
		switch {
		case !given.has(o):
			if r.required.has(o) {
				return refuse("You need to supply the '%s' option for the %s", o, place)
			}
		case r.exclusive.has(o) && last == optionCount:
			last = o
		case r.exclusive.has(o):
			return refuse("The option '%s' conflicts with the '%s' option in the %s", o, last, place)
		case !r.required.has(o) && !r.optional.has(o):
			return refuse("Illegal '%s' option with the %s", o, place)
		}
	}
	return nil
}
