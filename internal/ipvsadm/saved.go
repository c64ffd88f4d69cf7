package ipvsadm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"drover/internal/lvs"
)

// Rules gives the arguments of the commands that make a service and its servers again, a line each: in
// numbers, with what ipvsadm-save leaves out (-x, -y, all flags of the scheduler), and the servers in the order
// in which they are to be added, so that schedulers find the same list.
func Rules(svc *lvs.ServiceState) []string {
	var text bytes.Buffer
	s := session{out: bufio.NewWriter(&text)}
	f := format{layout: rulesLayout, numeric: true}
	s.printAddService(f, svc, flagNames(svc.Flags))
	for _, dst := range slices.Backward(svc.Destinations) {
		s.print("%s", s.serverRule(f, svc, &dst))
		if dst.Upper != 0 {
			s.print(" -x %d", dst.Upper)
		}
		if dst.Lower != 0 {
			s.print(" -y %d", dst.Lower)
		}
		s.print("\n")
	}
	s.out.Flush() //nolint:errcheck // into memory
	return strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
}

// flagNames gives the scheduler's flags by the names that any scheduler takes.
func flagNames(flags lvs.ServiceFlags) string {
	var names []string
	for _, f := range schedulerFlags {
		if f.scheduler == "" && flags&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ",")
}

// TimeoutsRule gives the arguments that set the timeouts.
func TimeoutsRule(t lvs.Timeouts) string {
	return fmt.Sprintf("--set %d %d %d", seconds(t.TCP), seconds(t.TCPFin), seconds(t.UDP))
}

// A Rule is one change as ipvsadm's arguments name it.
type Rule struct{ request request }

// ParseRule reads the arguments of -A, -a or --set. Addresses and ports must be numbers.
func ParseRule(words []string) (Rule, error) {
	r, err := parse("ipvsadm", words, noHosts{}, noPorts{})
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		return Rule{}, errors.New(text)
	}
	switch r.command {
	case addService, addServer, setTimeouts:
		return Rule{r}, nil
	}
	return Rule{}, errors.New("expected -A, -a or --set")
}

// Apply makes the change.
func (r Rule) Apply(t Table) error {
	s := session{table: t}
	return s.execute(&r.request)
}

// noHosts knows no name.
type noHosts struct{}

func (noHosts) Addr(string) (netip.Addr, bool) { return netip.Addr{}, false }
func (noHosts) Name(netip.Addr) (string, bool) { return "", false }

// noPorts knows no name.
type noPorts struct{}

func (noPorts) Port(string, lvs.Protocol) (uint16, bool) { return 0, false }
func (noPorts) Name(uint16, lvs.Protocol) (string, bool) { return "", false }
