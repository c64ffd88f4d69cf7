package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// A commander makes up ipvsadm commands. Its addresses are few, so that commands meet: what is added is there
// already, what is edited is there or not.
type commander struct {
	*rand.Rand
	services []string // of those added, as "-t 192.0.2.1:80"; not all of them must exist
	servers  []string // of those added, as "-t 192.0.2.1:80 -r 198.51.100.1:80"
}

func newCommander(seed uint64) *commander {
	return &commander{Rand: rand.New(rand.NewPCG(seed, 1))}
}

func (c *commander) one(words ...string) string { return words[c.IntN(len(words))] }

// chance is true with a probability in percent.
func (c *commander) chance(percent int) bool { return c.IntN(100) < percent }

// next gives the line of a step that nothing is left out of.
func (c *commander) next() string {
	for {
		line := c.step()
		if s, err := parseStep(line, 0); err == nil && leftOut(s) == "" {
			c.note(s)
			return line
		}
	}
}

// note remembers what a step adds, so that later ones can come back to it.
func (c *commander) note(s step) {
	for _, asked := range calls(s) {
		service := serviceWords(asked.service.ServiceKey)
		switch asked.op {
		case "add service":
			c.services = remember(c.services, service)
		case "add server":
			c.servers = remember(c.servers, service+" -r "+asked.server.Addr.String())
		}
	}
}

// remember keeps the last few.
func remember(all []string, one string) []string {
	if slices.Contains(all, one) {
		return all
	}
	const few = 12
	return append(all[max(0, len(all)-few+1):], one)
}

func (c *commander) step() string {
	switch n := c.IntN(100); {
	case n < 80:
		return "$ ipvsadm " + c.line()
	case n < 86:
		return "$ ipvsadm " + mangled(c.Rand, c.line())
	case n < 95:
		return restore(c.one("ipvsadm", "ipvsadm", "ipvsadm", "ipvsadm-restore"), c.rules())
	case n < 97:
		return c.one("$ ipvsadm-save -n", "$ ipvsadm-save", "$ ipvsadm-save -x", "$ ipvsadm")
	default:
		return "$ ipvsadm " + mangled(c.Rand, mangled(c.Rand, c.line()))
	}
}

// rules gives the text of a restore.
func (c *commander) rules() string {
	var text strings.Builder
	for range 1 + c.IntN(7) {
		line := c.line()
		switch n := c.IntN(40); {
		case n < 3:
			line = mangled(c.Rand, line)
		case n == 3:
			line = "# " + line
		case n == 4:
			line = "ipvsadm " + line
		case n == 5:
			line = "\t " + strings.ReplaceAll(line, " ", "  ")
		case n == 6:
			line = ""
		}
		text.WriteString(line + "\n")
	}
	return text.String()
}

// line gives the arguments of a command, right ones as far as they go.
func (c *commander) line() string {
	switch n := c.IntN(100); {
	case n < 20:
		return words("-A", c.service(), c.serviceOptions())
	case n < 26:
		return words("-E", c.someService(), c.serviceOptions())
	case n < 32:
		return words("-D", c.someService())
	case n < 62:
		return words("-a", c.someService(), "-r", c.server(), c.serverOptions())
	case n < 74:
		return words("-e", c.someServer(), c.serverOptions())
	case n < 84:
		return words("-d", c.someServer())
	case n < 86:
		return "-C"
	case n < 89:
		return words("-Z", c.one("", c.someService()))
	case n < 91:
		return fmt.Sprintf("--set %d %d %d", c.IntN(3)*450, c.IntN(3)*60, c.IntN(3)*150)
	case n < 92:
		return c.one("-h", "-v", "--help", "--start-daemon master", "--stop-daemon backup", "-L --daemon")
	default:
		return c.listing()
	}
}

func (c *commander) listing() string {
	forms := []string{"", "--stats", "--rate", "--exact", "--thresholds", "--persistent-conn", "--tun-info", "-c", "--timeout"}
	line := words(c.one("-Ln", "-L", "-L -n", "-l -n", "-S", "-Sn"), c.one(forms...))
	if c.chance(30) {
		line = words(line, c.one(forms...))
	}
	if c.chance(40) {
		line = words(line, c.someService())
	}
	return line
}

func words(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(w string) bool { return w == "" }), " ")
}

// number gives one around the limits that matter somewhere.
func (c *commander) number() string {
	if c.chance(70) {
		return strconv.Itoa(c.IntN(8))
	}
	return c.one("0", "1", "100", "255", "256", "65535", "65536", "2147483647", "2147483648", "4294967295", "4294967296",
		"-1", "0x10", "010", "1e3", "+5", "abc", "5x", "99999999999999999999")
}
