package lab

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// Errors returned by Up and Open.
var (
	// ErrConfig is wrapped by every complaint about a Config.
	ErrConfig = errors.New("wrong lab configuration")
	// ErrUp says that a lab of that name is up already.
	ErrUp = errors.New("already up")
	// ErrNotUp says that there is no lab of that name.
	ErrNotUp = errors.New("not up")
)

// Mode is the forwarding that a lab is laid out for.
type Mode string

// The modes.
const (
	DR  Mode = "dr"  // direct routing: the servers hold the VIP and answer the client themselves
	NAT Mode = "nat" // masquerading: replies go back through the director
	TUN Mode = "tun" // tunnelling: as DR, and the servers may be in another IP network
)

// Layout is how the nodes are wired.
type Layout string

// The layouts.
const (
	// Router: client, router, one segment with the director and the servers (DR and TUN).
	Router Layout = "router"
	// Gateway: client, router, director, and the servers on a second network behind it (NAT).
	Gateway Layout = "gateway"
	// OneArm: client, director and servers on one segment (DR and NAT).
	OneArm Layout = "one-arm"
	// TwoInterface: clients reach the director on one interface, the servers are on the other, and
	// reply by the router's leg in their network (DR).
	TwoInterface Layout = "two-interface"
	// Remote: client, director and servers are each in a network of their own, and the router joins
	// them: the director has no way to the servers but by IP (TUN).
	Remote Layout = "remote"
)

// layouts lists those of each mode, the default first.
var layouts = map[Mode][]Layout{
	DR:  {Router, OneArm, TwoInterface},
	NAT: {Gateway, OneArm},
	TUN: {Remote, Router},
}

// TunnelPort is the UDP port on which the servers of a lab of mode TUN take GUE: the one that IANA has
// given it.
const TunnelPort = 6080

// Family tells which addresses the nodes have.
type Family string

// The families.
const (
	Both Family = "both"
	V4   Family = "v4"
	V6   Family = "v6"
)

// Server is the program that runs on the real servers.
type Server string

// The servers.
const (
	Builtin Server = "drover" // Serve: HTTP on 80 and 8080, UDP echo on 53
	Nginx   Server = "nginx"  // the installed nginx: HTTP on 80 and 8080
)

// MTU of the links: the least for IPv6 (RFC 8200, Section 5) and for IPv4 (RFC 791, Section 3.1),
// Ethernet's, and the largest jumbo frame that a lab offers. All in bytes.
const (
	minMTU6    = 1280
	minMTU4    = 68
	defaultMTU = 1500
	maxMTU     = 9000
)

// Config describes a lab. The zero value of each field stands for its default.
type Config struct {
	Name   string `json:"name"`   // "lab"; the first part of the names of its namespaces
	Mode   Mode   `json:"mode"`   // DR
	Layout Layout `json:"layout"` // Router for DR, Gateway for NAT, Remote for TUN
	Family Family `json:"family"` // Both
	MTU    int    `json:"mtu"`    // bytes, 1500
	Server Server `json:"server"` // Builtin
	// Keepalived is the path of a keepalived.conf that `drover director` keeps on the director; empty: there is none.
	Keepalived string `json:"keepalived,omitempty"`
	// Program is the path of the program that `lab serve` is given to and that the nodes find by the
	// names drover and ipvsadm; by default the running one. A test that is not drover itself hands
	// the arguments to ServeCommand in its TestMain.
	Program string `json:"program"`
}

// namePattern keeps names usable as a file name, a namespace and a word of a shell.
var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// CheckName returns an error that wraps ErrConfig unless the name can be a lab's.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%w: name %q: want up to 32 lower-case letters, digits and hyphens", ErrConfig, name)
	}
	return nil
}

// complete fills in the defaults and checks the rest. Its errors wrap ErrConfig.
func (c Config) complete() (Config, error) {
	setDefault(&c.Name, "lab")
	setDefault(&c.Mode, DR)
	setDefault(&c.Family, Both)
	setDefault(&c.MTU, defaultMTU)
	setDefault(&c.Server, Builtin)
	if err := CheckName(c.Name); err != nil {
		return c, err
	}
	fitting, ok := layouts[c.Mode]
	if !ok {
		return c, fmt.Errorf("%w: mode %q: want dr, nat or tun", ErrConfig, c.Mode)
	}
	setDefault(&c.Layout, fitting[0])
	if !slices.Contains(fitting, c.Layout) {
		return c, fmt.Errorf("%w: layout %q: mode %s has %s", ErrConfig, c.Layout, c.Mode, join(fitting))
	}
	if !slices.Contains([]Family{Both, V4, V6}, c.Family) {
		return c, fmt.Errorf("%w: family %q: want v4, v6 or both", ErrConfig, c.Family)
	}
	least := minMTU6
	if c.Family == V4 {
		least = minMTU4
	}
	if c.MTU < least || c.MTU > maxMTU {
		return c, fmt.Errorf("%w: MTU %d: want %d to %d", ErrConfig, c.MTU, least, maxMTU)
	}
	if c.Server != Builtin && c.Server != Nginx {
		return c, fmt.Errorf("%w: server %q: want drover or nginx", ErrConfig, c.Server)
	}
	return c, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// join gives "a, b and c".
func join[T ~string](words []T) string {
	var text string
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			text += " and "
		default:
			text += ", "
		}
		text += string(w)
	}
	return text
}
