// Package ipvsadm is the ipvsadm command: the option grammar, the messages, the exit statuses and
// the listings of ipvsadm 1.31, byte for byte, over any table of virtual services. It also plays
// the scripts ipvsadm-save and ipvsadm-restore.
//
// A command line becomes a request (parse.go), which is carried out on a Table (execute.go). What
// is refused before the table is asked is a refusal. Statuses: 0 done, 1 a listing that cannot be
// made, 2 refused by ipvsadm itself, 255 refused by the table or by the option parser.
package ipvsadm

import (
	"bufio"
	"io"
	"path"
)

// Env is what a command may touch of the world around it.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Open           func(Mode) (Table, error) // opens the table; not called for a refused command
	Hosts          Hosts
	Ports          Ports
}

// Run plays the program that name's last element says: ipvsadm-save, ipvsadm-restore, else
// ipvsadm. Messages call the program by its whole name, as ipvsadm does with argv[0]. It returns
// the exit status.
func Run(env Env, name string, args []string) int {
	out := bufio.NewWriter(env.Stdout)
	s := &session{env: env, name: name, out: out}
	status := s.play(path.Base(name), args)
	if err := s.close(); err != nil && status == 0 {
		s.complain("close table: " + err.Error())
		status = statusRefused
	}
	if err := out.Flush(); err != nil && status == 0 {
		s.complain("write: " + err.Error())
		status = statusListing
	}
	return status
}

func (s *session) play(program string, args []string) int {
	switch program {
	case "ipvsadm-save":
		return s.saveScript(args)
	case "ipvsadm-restore":
		return s.restoreScript()
	}
	return s.ipvsadm(args).status
}
