package lab

import (
	"os"
	"path/filepath"
)

// Status is a lab as it stands.
type Status struct {
	Config
	*Topology
	Processes []ProcessStatus `json:"processes"`
	// Missing nodes are those whose namespace was deleted by hand.
	Missing []string `json:"missing"`
}

// ProcessStatus is a server process and whether it runs.
type ProcessStatus struct {
	Process
	Alive bool `json:"alive"`
}

// Status looks at the lab's namespaces and processes.
func (l *Lab) Status() Status {
	s := Status{Config: l.Config, Topology: l.Topology, Processes: []ProcessStatus{}, Missing: []string{}}
	for _, p := range l.processes {
		s.Processes = append(s.Processes, ProcessStatus{p, p.Alive()})
	}
	for _, node := range append([]string{Segment}, l.Topology.Nodes...) {
		if _, err := os.Stat(filepath.Join(netnsFolder, l.Namespace(node))); err != nil {
			s.Missing = append(s.Missing, node)
		}
	}
	return s
}
