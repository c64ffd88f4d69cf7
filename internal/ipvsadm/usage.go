package ipvsadm

import (
	_ "embed"
	"strings"
)

// ipvsVersion is the version of ip_vs whose behaviour Drover has.
const ipvsVersion = "1.2.1"

// versionLine is what the ipvsadm says whose grammar this is, for programs that look at it.
const versionLine = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v" + ipvsVersion + ")"

// usage is the help text. '@' stands for the program's name.
//
//go:embed usage.txt
var usage string

func (s *session) printUsage() {
	s.print("%s\n%s", versionLine, strings.ReplaceAll(usage, "@", s.name))
}
