package director

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A Supervisor is told how the daemon does, as sd_notify(3) describes: a datagram of VARIABLE=VALUE lines to the socket
// that NOTIFY_SOCKET names. The zero value tells nobody.
type Supervisor struct {
	socket string
	every  time.Duration // between two signs of life; 0: none are wanted
	last   time.Time
}

// NewSupervisor reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
func NewSupervisor(getenv func(string) string) *Supervisor {
	s := &Supervisor{socket: getenv("NOTIFY_SOCKET")}
	microseconds, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	pid := getenv("WATCHDOG_PID")
	if err == nil && (pid == "" || pid == strconv.Itoa(unix.Getpid())) {
		s.every = time.Duration(microseconds) * time.Microsecond / 3
	}
	return s
}

// Ready says that the services are in force.
func (s *Supervisor) Ready() { s.say("READY=1\nSTATUS=checking") }

// Reloading says that the configuration is read again; Ready ends that.
func (s *Supervisor) Reloading() {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) == nil {
		s.say(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
	}
}

// Stopping says that the daemon is about to end.
func (s *Supervisor) Stopping() { s.say("STOPPING=1") }

// Beat is the sign of life, given three times in the time that the watchdog waits.
func (s *Supervisor) Beat() {
	if now := time.Now(); s.every > 0 && now.Sub(s.last) >= s.every {
		s.last = now
		s.say("WATCHDOG=1")
	}
}

// say is for a supervisor's ears alone: that it does not hear is its own affair.
func (s *Supervisor) say(text string) {
	if s.socket == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(text))
}
