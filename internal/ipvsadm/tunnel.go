package ipvsadm

import (
	"fmt"

	"drover/internal/lvs"
)

// tunnelTypeNames are indexed by lvs.TunnelType.
var tunnelTypeNames = [...]string{lvs.IPIP: "ipip", lvs.GUE: "gue", lvs.GRE: "gre"}

// A checksumName is a tunnel's checksum as a switch and as a listing's word.
type checksumName struct{ option, word string }

func checksumOf(flags lvs.TunnelFlags) checksumName {
	switch {
	case flags&lvs.TunnelRemoteChecksum != 0:
		return checksumName{"--tun-remcsum", "r+c"}
	case flags&lvs.TunnelChecksum != 0:
		return checksumName{"--tun-csum", "+c"}
	}
	return checksumName{"--tun-nocsum", "-c"}
}

// tunnelInfo gives the word of --tun-info: "ipip", "gue:6080:-c", "gre:+c", or "n/a".
func tunnelInfo(dst *lvs.Destination) string {
	if dst.Forwarding != lvs.Tunnel {
		return "n/a"
	}
	switch dst.TunnelType {
	case lvs.IPIP:
		return "ipip"
	case lvs.GUE:
		return fmt.Sprintf("gue:%d:%s", dst.TunnelPort, checksumOf(dst.TunnelFlags).word)
	case lvs.GRE:
		return "gre:" + checksumOf(dst.TunnelFlags).word
	}
	return "n/a"
}

// tunnelRule gives the switches that a saved rule has for a tunnel, each after a blank.
func tunnelRule(dst *lvs.Destination) string {
	if dst.Forwarding != lvs.Tunnel {
		return ""
	}
	switch dst.TunnelType {
	case lvs.IPIP:
		return " --tun-type ipip"
	case lvs.GUE:
		return fmt.Sprintf(" --tun-type gue --tun-port %d %s", dst.TunnelPort, checksumOf(dst.TunnelFlags).option)
	case lvs.GRE:
		return " --tun-type gre " + checksumOf(dst.TunnelFlags).option
	}
	return ""
}
