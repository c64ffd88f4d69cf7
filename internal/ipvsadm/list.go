package ipvsadm

import (
	"errors"
	"fmt"
	"time"

	"drover/internal/lvs"
)

// list prints what -L or -S asks for. An error is a listing's refusal, or says what the data path
// does not support.
func (s *session) list(r *request) error {
	var err error
	switch {
	case r.options.has(optConnection):
		err = s.listConnections(r)
	case r.options.has(optService):
		err = s.listService(formatOf(r), r.service.ServiceKey)
	case r.options.has(optTimeout):
		err = s.listTimeouts()
	case r.options.has(optDaemon):
		err = s.listDaemons()
	default:
		err = s.listServices(formatOf(r))
	}
	var unsupported *lvs.UnsupportedError
	if err == nil || errors.As(err, &unsupported) {
		return err
	}
	return &refusal{status: statusListing, text: err.Error()}
}

func (s *session) listService(f format, key lvs.ServiceKey) error {
	svc, err := s.table.Service(key)
	if err != nil {
		return err
	}
	s.print("%s", f.title())
	s.printService(f, &svc)
	return nil
}

func (s *session) listServices(f format) error {
	if f.layout != rulesLayout {
		size, err := s.table.Size()
		if err != nil {
			return err
		}
		s.print("IP Virtual Server version %s (size=%d)\n", ipvsVersion, size)
	}
	services, err := s.table.Services()
	if err != nil {
		return err
	}
	if f.sorted {
		services = mergeSort(services, compareServices)
	}
	s.print("%s", f.title())
	for i := range services {
		s.printService(f, &services[i])
	}
	return nil
}

func (s *session) listTimeouts() error {
	t, err := s.table.Timeouts()
	if err != nil {
		return err
	}
	s.print("Timeout (tcp tcpfin udp): %d %d %d\n", seconds(t.TCP), seconds(t.TCPFin), seconds(t.UDP))
	return nil
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func (s *session) listDaemons() error {
	daemons, err := s.table.Daemons()
	if err != nil {
		return err
	}
	for _, d := range daemons {
		s.print("%s sync daemon (mcast=%s, syncid=%d", d.Role, d.Interface, d.SyncID)
		s.printUnlessZero(", maxlen=%d", d.MaxLen)
		if d.Group.IsValid() {
			s.print(", group=%s", d.Group)
		}
		s.printUnlessZero(", port=%d", d.Port)
		s.printUnlessZero(", ttl=%d", uint16(d.TTL))
		s.print(")\n")
	}
	return nil
}

func (s *session) printUnlessZero(format string, n uint16) {
	if n != 0 {
		s.print("%s", fmt.Sprintf(format, n))
	}
}
