package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/datapath"
	"drover/internal/lvs"
)

// newTimeoutsCommand is `drover timeouts`: how long a service's own connections may be idle.
func newTimeoutsCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "timeouts",
		Short: "Give a service timeouts of its own",
		Long: `Give a service timeouts of its own, where "ipvsadm --set" has one for all. SERVICE is tcp/VIP:PORT, udp/VIP:PORT,
fwm/MARK, or fwm6/MARK. They stay through ipvsadm -E, -e, -a and -d, and go with the service.`,
		Args: noSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTimeoutsList(env), newTimeoutsSet(env), newTimeoutsUnset(env))
	return cmd
}

// A timeoutName is what a timeout is called in options and listings.
type timeoutName struct {
	name  string // "established", "finwait", ..., "udp"
	state lvs.State
	udp   bool
}

// timeoutNames are TCP's states in their order, and UDP.
var timeoutNames = func() []timeoutName {
	var all []timeoutName
	for state := range lvs.State(lvs.TCPStates) {
		name := strings.ToLower(strings.ReplaceAll(lvs.StateName(lvs.TCP, state), "_", ""))
		all = append(all, timeoutName{name: name, state: state})
	}
	return append(all, timeoutName{name: "udp", udp: true})
}()

// of gives the timeout's place among a service's.
func (n timeoutName) of(t *lvs.ServiceTimeouts) *time.Duration {
	if n.udp {
		return &t.UDP
	}
	return &t.TCP[n.state]
}

// fits tells whether a service has such connections; one of a mark has all.
func (n timeoutName) fits(k lvs.ServiceKey) bool {
	return k.Mark != 0 || n.udp == (k.Protocol == lvs.UDP)
}

// setTimeout sets one by its name.
func setTimeout(t *lvs.ServiceTimeouts, k lvs.ServiceKey, name, value string) error {
	for _, n := range timeoutNames {
		if n.name != name {
			continue
		}
		if !n.fits(k) {
			return fmt.Errorf("%s has no timeout --%s", k.Text(), name)
		}
		d, err := time.ParseDuration(value)
		if seconds, isNumber := strconv.ParseUint(value, 10, 32); isNumber == nil {
			d, err = time.Duration(seconds)*time.Second, nil
		}
		if err != nil || d < time.Second || d%time.Second != 0 || d > datapath.MaxTimeout {
			return fmt.Errorf("--%s %s: expected whole seconds, 1s to %s, such as 90s or 1h", name, value, datapath.MaxTimeout)
		}
		*n.of(t) = d
		return nil
	}
	return fmt.Errorf("no timeout --%s", name)
}

// timeoutWords gives "--established 3600s --finwait 30s".
func timeoutWords(t lvs.ServiceTimeouts) string {
	var words []string
	for _, n := range timeoutNames {
		if d := *n.of(&t); d != 0 {
			words = append(words, fmt.Sprintf("--%s %ds", n.name, d/time.Second))
		}
	}
	return strings.Join(words, " ")
}

func newTimeoutsSet(env *environment) *cobra.Command {
	given := map[string]*string{}
	cmd := &cobra.Command{
		Use:   "set SERVICE --STATE TIME ...",
		Short: "Set some of a service's own; others stay as they are",
		Args:  exactArgs("SERVICE", 1),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := lvs.ParseServiceKey(args[0])
			if err != nil {
				return &exitError{status: 2, err: err}
			}
			return changeTimeouts(env, key, func(t *lvs.ServiceTimeouts) error {
				changed := false
				for _, n := range timeoutNames {
					if value := *given[n.name]; value != "" {
						changed = true
						if err := setTimeout(t, key, n.name, value); err != nil {
							return &exitError{status: 2, err: err}
						}
					}
				}
				if !changed {
					return usageError("no timeout is named: expected one or more, such as --established 1h")
				}
				return nil
			})
		},
	}
	for _, n := range timeoutNames {
		meaning := "of UDP"
		if !n.udp {
			meaning = "in state " + lvs.StateName(lvs.TCP, n.state)
		}
		given[n.name] = cmd.Flags().String(n.name, "", meaning+", such as 90s or 1h")
	}
	return cmd
}

func newTimeoutsUnset(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "unset SERVICE [STATE ...]",
		Short: "Take those of all services again",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("drover timeouts unset: expected SERVICE [STATE ...]")
			}
			key, err := lvs.ParseServiceKey(args[0])
			if err != nil {
				return &exitError{status: 2, err: err}
			}
			return changeTimeouts(env, key, func(t *lvs.ServiceTimeouts) error { return unsetTimeouts(t, args[1:]) })
		},
	}
}

// unsetTimeouts takes away those that are named, or all.
func unsetTimeouts(t *lvs.ServiceTimeouts, names []string) error {
	if len(names) == 0 {
		*t = lvs.ServiceTimeouts{}
	}
	for _, name := range names {
		known := false
		for _, n := range timeoutNames {
			if n.name == strings.TrimPrefix(name, "--") {
				*n.of(t), known = 0, true
			}
		}
		if !known {
			return usageError("no timeout %q", name)
		}
	}
	return nil
}

// changeTimeouts changes a service's own and says what they are then.
func changeTimeouts(env *environment, key lvs.ServiceKey, change func(*lvs.ServiceTimeouts) error) error {
	var timeouts lvs.ServiceTimeouts
	err := withTable(true, func(t *datapath.Table) (err error) {
		if timeouts, err = t.ServiceTimeouts(key); err == nil {
			if err = change(&timeouts); err == nil {
				err = t.SetServiceTimeouts(key, timeouts)
			}
		}
		return err
	})
	if errors.Is(err, lvs.ErrNoService) {
		return fmt.Errorf("no service %s", key.Text())
	}
	if err != nil {
		return err
	}
	words := timeoutWords(timeouts)
	if words == "" {
		return newPrinter(env).printf("%s has the timeouts of all services\n", key.Text())
	}
	return newPrinter(env).printf("%s %s\n", key.Text(), words)
}
