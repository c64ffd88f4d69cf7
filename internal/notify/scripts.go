package notify

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/config"
	"drover/internal/director"
	"drover/internal/script"
)

// scriptTimeout is how long a notify script may run. keepalived has no bound, and one that hangs stays for ever.
const scriptTimeout = 60 * time.Second

// runScripts runs the programs that an event's real or virtual server names: notify_up and notify_down, quorum_up and
// quorum_down. They get the arguments of the configuration alone, as keepalived has it.
func (n *Notifier) runScripts(e director.Event) {
	if e.Kind == director.KindVRRP || e.Kind == director.KindVRRPGroup {
		n.runRouterScripts(e)
		return
	}
	var s *config.Script
	switch {
	case e.Kind == director.KindServer && e.Origin.Real != nil:
		s = byState(e.State, e.Origin.Real.NotifyUp, e.Origin.Real.NotifyDown)
	case e.Kind == director.KindVirtual && e.Origin.Virtual != nil:
		s = byState(e.State, e.Origin.Virtual.QuorumUp, e.Origin.Virtual.QuorumDown)
	}
	if s == nil {
		return
	}
	global := n.config.Global
	n.put(n.scripts, func(ctx context.Context) { n.run(ctx, s, &global) })
}

// runRouterScripts runs what a virtual router or a sync group names for a state, and `notify` with what has happened as its last
// arguments: INSTANCE or GROUP, the name, the state, the priority.
func (n *Notifier) runRouterScripts(e director.Event) {
	var notify *config.Notify
	kind := "INSTANCE"
	switch {
	case e.Origin.Instance != nil:
		notify = &e.Origin.Instance.Notify
	case e.Origin.Group != nil:
		notify, kind = &e.Origin.Group.Notify, "GROUP"
	default:
		return
	}
	global := n.config.Global
	if s := map[string]*config.Script{"MASTER": notify.Master, "BACKUP": notify.Backup, "FAULT": notify.Fault, "STOP": notify.Stop}[e.State]; s != nil {
		n.put(n.scripts, func(ctx context.Context) { n.run(ctx, s, &global) })
	}
	if notify.Any != nil {
		s := *notify.Any
		s.Command = append(slices.Clone(s.Command), kind, e.Instance, e.State, strconv.Itoa(e.Priority))
		n.put(n.scripts, func(ctx context.Context) { n.run(ctx, &s, &global) })
	}
}

func byState(state string, up, down *config.Script) *config.Script {
	if state == "UP" {
		return up
	}
	return down
}

// command gives a program of the configuration as it is to be run.
func command(s *config.Script, g *config.Global) script.Command {
	c := script.Command{Args: s.Command, User: s.User, Group: s.Group, Timeout: scriptTimeout}
	if c.User == "" {
		c.User, c.Group = g.ScriptUser, g.ScriptGroup
	}
	return c
}

func (n *Notifier) run(ctx context.Context, s *config.Script, g *config.Global) {
	c := command(s, g)
	name := strings.Join(s.Command, " ")
	if g.ScriptSecurity {
		if err := script.Secure(s.Command[0], c.User); err != nil {
			n.log.Error("script is not run: enable_script_security forbids it", "script", name, "error", err)
			return
		}
	}
	exit, err := script.Run(ctx, c)
	switch {
	case err != nil:
		n.log.Error("script can't be run", "script", name, "error", err)
	case exit.TimedOut || exit.Signal != "" || exit.Status != 0:
		n.log.Warn("script has failed", "script", name, "exit", exit.String())
	default:
		n.log.Info("Executed ["+name+"]", "exit", exit.String())
	}
}
