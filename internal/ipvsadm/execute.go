package ipvsadm

import (
	"bufio"
	"errors"
	"fmt"

	"drover/internal/lvs"
)

// A session is one run of the program: one command, or the lines of a restore. It opens the table
// when the first command needs it.
type session struct {
	env       Env
	name      string
	out       *bufio.Writer
	table     Table // nil while not open
	mode      Mode  // of table
	restoring bool
	together  bool // commands are one transaction, up to finish
	// unsupported notes that a line of a restore asked for what the data path cannot do, so that
	// the lines after it do not hide that.
	unsupported bool
}

// An outcome is the exit status of a command. A final one ends a restore.
type outcome struct {
	status int
	final  bool
}

// ipvsadm runs one command line.
func (s *session) ipvsadm(words []string) outcome {
	r := request{command: list}
	if len(words) > 0 {
		var err error
		if r, err = parse(s.name, words, s.env.Hosts, s.env.Ports); err != nil {
			return s.failed(err)
		}
	}
	switch r.command {
	case help:
		s.printUsage()
		return outcome{statusDone, true}
	case version:
		s.print("%s\n", versionLine)
		return outcome{statusDone, true}
	case restore:
		return s.restore()
	}
	if err := s.open(r.command.mode()); err != nil {
		return s.failed(err)
	}
	if r.command == list || r.command == save {
		return s.read(&r)
	}
	return s.failed(s.execute(&r))
}

// read carries out a command that reads. Among others that are one transaction it ends that, and begins
// another.
func (s *session) read(r *request) outcome {
	if !s.together {
		return s.failed(s.execute(r))
	}
	if err := s.table.Commit(); err != nil {
		return s.failed(err)
	}
	last := s.failed(s.execute(r))
	if err := s.table.Begin(); err != nil {
		return s.failed(err)
	}
	return last
}

// finish puts the commands since together was set in force. The outcome is that of the last of them, unless
// this fails.
func (s *session) finish(last outcome) outcome {
	s.together = false
	if s.table == nil {
		return last
	}
	if err := s.table.Commit(); err != nil {
		return s.failed(err)
	}
	return last
}

// open opens the table for mode, or keeps it if it is open for that.
func (s *session) open(mode Mode) error {
	if s.table != nil && (s.mode >= mode || s.mode == Change && s.table.Keeps()) {
		return nil
	}
	if err := s.close(); err != nil {
		return &refusal{status: statusRefused, text: "close table: " + err.Error()}
	}
	table, err := s.env.Open(mode)
	if unsupported := new(lvs.UnsupportedError); errors.As(err, &unsupported) {
		return err
	}
	if err != nil {
		return &refusal{status: statusRefused, text: "Can't initialize ipvs: " + err.Error()}
	}
	s.table, s.mode = table, mode
	if s.together {
		return table.Begin()
	}
	return nil
}

func (s *session) close() error {
	if s.table == nil {
		return nil
	}
	table := s.table
	s.table = nil
	return table.Close()
}

// failed prints an error, if there is one, and gives the outcome it stands for.
func (s *session) failed(err error) outcome {
	if err == nil {
		return outcome{status: statusDone}
	}
	s.complain(err.Error())
	var r *refusal
	var unsupported *lvs.UnsupportedError
	switch {
	case errors.As(err, &r):
		return outcome{r.status, !r.mild}
	case errors.As(err, &unsupported):
		s.unsupported = true
		return outcome{status: statusRefused}
	}
	return outcome{status: statusTable}
}

// complain prints a line on stderr, after what stdout has had.
func (s *session) complain(text string) {
	s.out.Flush() //nolint:errcheck // bufio keeps the error, and Run reports it
	fmt.Fprintln(s.env.Stderr, text)
}

func (s *session) print(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// execute carries out a request on the open table.
func (s *session) execute(r *request) error {
	key := r.service.ServiceKey
	switch r.command {
	case list, save:
		return s.list(r)
	case addService:
		return s.table.AddService(r.service)
	case editService:
		return s.table.EditService(r.service)
	case deleteService:
		return s.table.DeleteService(key)
	case addServer:
		return s.table.AddDestination(key, r.destination)
	case editServer:
		return s.table.EditDestination(key, r.destination)
	case deleteServer:
		return s.table.DeleteDestination(key, r.destination.Addr)
	case flush:
		return s.table.Flush()
	case zero:
		if r.options.has(optService) {
			return s.table.Zero(&key)
		}
		return s.table.Zero(nil)
	case setTimeouts:
		return s.table.SetTimeouts(r.timeouts)
	case startDaemon:
		return s.table.StartDaemon(r.daemon)
	case stopDaemon:
		return s.table.StopDaemon(r.daemon.Role)
	}
	return fmt.Errorf("command %d is not carried out here", r.command)
}
