package realserver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// ErrConfig is wrapped by every complaint about a Config.
var ErrConfig = errors.New("wrong configuration of the real server")

// Tunnel is what takes packets out of their tunnel.
type Tunnel string

// The tunnels.
const (
	None   Tunnel = "none"   // nothing: direct routing, which has no tunnel
	XDP    Tunnel = "xdp"    // Drover's program: IPIP, GUE and GRE, without a module
	Kernel Tunnel = "kernel" // the devices of the kernel, as far as it has them
)

// Config is the state wanted.
type Config struct {
	VIPs []netip.Addr // IPv4 and IPv6
	// Record is the path of the file that keeps what Up changed until Down takes it back. It must
	// belong to one network namespace, and its folder must exist.
	Record string

	Tunnel     Tunnel       // "": None
	Ports      []uint16     // UDP, of GUE; none: no GUE
	Sources    []netip.Addr // of the outer packets: the directors. None: any. XDP only
	Interfaces []string     // none: DROVER_INTERFACE, else the fitting ones
	// ClampMSS lowers the segment size that SYNs of the VIPs name, so that what the client sends fits into
	// the tunnel. It is never raised.
	ClampMSS bool
	MSS      int // bytes, of both families; 0: by the interfaces' MTU
}

// Limits of Config.MSS: RFC 9293, Section 3.7.1, says at least 536 of IPv4; less is for experiments, and
// the largest is that of the largest packet.
const (
	minMSS = 64
	maxMSS = 65495
)

// Check tells whether Up would take the Config. Its errors wrap ErrConfig.
func (c Config) Check() error {
	_, err := c.complete()
	return err
}

// complete fills in the default and checks the rest. Its errors wrap ErrConfig.
func (c Config) complete() (Config, error) {
	if c.Tunnel == "" {
		c.Tunnel = None
	}
	if !slices.Contains([]Tunnel{None, XDP, Kernel}, c.Tunnel) {
		return c, fmt.Errorf("%w: tunnel %q: want none, xdp or kernel", ErrConfig, c.Tunnel)
	}
	for _, vip := range c.VIPs {
		if !vip.IsValid() || vip.Zone() != "" || vip.Is4In6() || !vip.IsGlobalUnicast() {
			return c, fmt.Errorf("%w: VIP %v: want a unicast address", ErrConfig, vip)
		}
	}
	switch {
	case c.Tunnel == None && len(c.Ports) > 0:
		return c, fmt.Errorf("%w: a tunnel's port without a tunnel: want xdp or kernel", ErrConfig)
	case slices.Contains(c.Ports, 0):
		return c, fmt.Errorf("%w: port 0 of a tunnel: want 1 to 65535", ErrConfig)
	case c.Tunnel != XDP && len(c.Sources) > 0:
		return c, fmt.Errorf("%w: a list of directors without the tunnel xdp: only that looks at it", ErrConfig)
	case c.MSS != 0 && (c.MSS < minMSS || c.MSS > maxMSS):
		return c, fmt.Errorf("%w: segment size %d: want %d to %d", ErrConfig, c.MSS, minMSS, maxMSS)
	case c.Tunnel == None && !c.ClampMSS && len(c.Interfaces) > 0:
		return c, fmt.Errorf("%w: an interface without a tunnel or a segment size to clamp", ErrConfig)
	}
	return c, nil
}
