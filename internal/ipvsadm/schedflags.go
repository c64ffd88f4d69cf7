package ipvsadm

import (
	"slices"
	"strings"

	"drover/internal/lvs"
)

// A schedulerFlag is a name of a bit of a service's flags.
type schedulerFlag struct {
	name      string
	scheduler string // that alone knows it; empty: any
	bit       lvs.ServiceFlags
}

var schedulerFlags = []schedulerFlag{
	{"flag-1", "", lvs.SchedFlag1},
	{"flag-2", "", lvs.SchedFlag2},
	{"flag-3", "", lvs.SchedFlag3},
	{"sh-fallback", "sh", lvs.SchedFlag1},
	{"sh-port", "sh", lvs.SchedFlag2},
	{"mh-fallback", "mh", lvs.SchedFlag1},
	{"mh-port", "mh", lvs.SchedFlag2},
}

const anySchedulerFlag = lvs.SchedFlag1 | lvs.SchedFlag2 | lvs.SchedFlag3

// readSchedulerFlags reads the argument of -b, once the scheduler is known. Empty names are passed over, but
// one of separators alone is refused: ipvsadm 1.31 ends there by a segmentation fault, and changes nothing.
func (p *parser) readSchedulerFlags() error {
	if p.flagsNames != "" && strings.Trim(p.flagsNames, ",") == "" {
		return refuse("invalid scheduler flag `%s'", p.flagsNames)
	}
	scheduler := p.service.Scheduler
	if scheduler == "" {
		scheduler = defaultScheduler
	}
	for name := range strings.SplitSeq(p.flagsNames, ",") {
		if name == "" {
			continue
		}
		i := slices.IndexFunc(schedulerFlags, func(f schedulerFlag) bool { return f.name == name })
		if i < 0 {
			return refuse("invalid scheduler flag `%s'", name)
		}
		if s := schedulerFlags[i].scheduler; s != "" && s != scheduler {
			return refuse("incompatible scheduler flag `%s'", name)
		}
		p.service.Flags |= schedulerFlags[i].bit
	}
	return nil
}

// schedulerFlagNames gives the names of a service's flags as its scheduler calls them: sh and mh
// have two of their own and no third.
func schedulerFlagNames(svc *lvs.Service) string {
	owner := ""
	if svc.Scheduler == "sh" || svc.Scheduler == "mh" {
		owner = svc.Scheduler
	}
	var names []string
	for _, f := range schedulerFlags {
		if f.scheduler == owner && svc.Flags&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ",")
}
