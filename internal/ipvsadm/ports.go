package ipvsadm

import (
	"os"
	"strings"

	"drover/internal/lvs"
)

// Ports turns service names into ports and back.
type Ports interface {
	Port(name string, protocol lvs.Protocol) (uint16, bool)
	Name(port uint16, protocol lvs.Protocol) (string, bool)
}

// NewPorts gives the names in a file in the format of services(5). The file is read when a name
// is first asked for; one that cannot be read holds no names.
func NewPorts(file string) Ports { return &servicesFile{file: file} }

type portKey struct {
	number   uint16
	protocol lvs.Protocol
}

type nameKey struct {
	name     string
	protocol lvs.Protocol
}

type servicesFile struct {
	file  string
	names map[portKey]string // nil until the file is read
	ports map[nameKey]uint16
}

func (s *servicesFile) Port(name string, protocol lvs.Protocol) (uint16, bool) {
	s.load()
	port, ok := s.ports[nameKey{name, protocol}]
	return port, ok
}

func (s *servicesFile) Name(port uint16, protocol lvs.Protocol) (string, bool) {
	s.load()
	name, ok := s.names[portKey{port, protocol}]
	return name, ok
}

func (s *servicesFile) load() {
	if s.names != nil {
		return
	}
	s.names, s.ports = map[portKey]string{}, map[nameKey]uint16{}
	text, err := os.ReadFile(s.file)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		s.read(line)
	}
}

// read reads one line: name, port/protocol, aliases, comment. Of several lines for one port or
// one name the first counts.
func (s *servicesFile) read(line string) {
	line, _, _ = strings.Cut(line, "#")
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return
	}
	number, word, _ := strings.Cut(fields[1], "/")
	port, ok := parseNumber(number, 0, 65535)
	protocol, known := map[string]lvs.Protocol{"tcp": lvs.TCP, "udp": lvs.UDP, "sctp": lvs.SCTP}[word]
	if !ok || !known {
		return
	}
	if key := (portKey{uint16(port), protocol}); s.names[key] == "" {
		s.names[key] = fields[0]
	}
	for i, name := range fields {
		if _, taken := s.ports[nameKey{name, protocol}]; i != 1 && !taken {
			s.ports[nameKey{name, protocol}] = uint16(port)
		}
	}
}
