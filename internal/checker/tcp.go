package checker

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tcpAsker is TCP_CHECK: a connection that comes about is all it asks for.
type tcpAsker struct {
	check *Check
	to    unix.Sockaddr
	pool  *knockerPool
	busy  atomic.Pointer[knocker] // the socket that is connecting
}

func newTCPAsker(c *Check) *tcpAsker {
	a := &tcpAsker{check: c, pool: knockers4}
	if c.Addr.Addr().Is4() {
		a.to = &unix.SockaddrInet4{Port: int(c.Addr.Port()), Addr: c.Addr.Addr().As4()}
	} else {
		a.to = &unix.SockaddrInet6{Port: int(c.Addr.Port()), Addr: c.Addr.Addr().As16()}
		a.pool = knockers6
	}
	return a
}

func (a *tcpAsker) ask(ctx context.Context) (int, bool, error) {
	if c := a.check; c.Bind.IsValid() || c.Interface != "" || c.Mark != 0 || c.Addr.Addr().Zone() != "" {
		conn, err := c.dial(ctx, "tcp")
		if err != nil {
			return 0, false, err
		}
		return 0, false, closeAtOnce(conn)
	}
	return 0, false, a.knock(ctx)
}

// closeAtOnce ends a connection with RST: thousands of checks a second would leave tens of thousands of connections in
// TIME_WAIT, and run out of ports.
func closeAtOnce(conn net.Conn) error {
	if t, ok := conn.(*net.TCPConn); ok {
		if err := t.SetLinger(0); err != nil {
			return err
		}
	}
	return conn.Close()
}

// knock connects and disconnects. Ten thousand of them a second are to cost little: the sockets are used again (a connect
// to AF_UNSPEC resets the connection and leaves the socket, connect(2)), and they stay with Go's poller.
func (a *tcpAsker) knock(ctx context.Context) error {
	socket, err := a.pool.take()
	if err != nil {
		return err
	}
	a.busy.Store(socket)
	defer a.busy.Store(nil)
	if err = ctx.Err(); err == nil { // else interrupt may have come before there was a socket
		err = socket.connect(a.to, a.check.Timing.Timeout)
	}
	if err == nil && socket.disconnect() == nil {
		a.pool.put(socket)
		return nil
	}
	return errors.Join(a.check.explain(err), socket.file.Close())
}

// interrupt ends a connect that waits.
func (a *tcpAsker) interrupt() {
	if socket := a.busy.Load(); socket != nil {
		_ = socket.file.SetWriteDeadline(time.Now())
	}
}

// A knocker is a TCP socket that is not connected.
type knocker struct {
	file *os.File
	raw  syscall.RawConn
}

// knockerPool keeps sockets of one address family that wait for their next use.
type knockerPool struct {
	family int

	mu   sync.Mutex // protects idle
	idle []*knocker
}

// maxIdle is how many sockets are kept. As many as are in use at one moment would do: checks are spread.
const maxIdle = 256

var knockers4, knockers6 = &knockerPool{family: unix.AF_INET}, &knockerPool{family: unix.AF_INET6}

func (p *knockerPool) take() (*knocker, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		k := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return k, nil
	}
	p.mu.Unlock()
	fd, err := unix.Socket(p.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "check")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &knocker{file, raw}, nil
}

func (p *knockerPool) put(k *knocker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == maxIdle {
		k.file.Close()
		return
	}
	p.idle = append(p.idle, k)
}

// connect waits until the connection is there, or known not to come.
func (k *knocker) connect(to unix.Sockaddr, timeout time.Duration) error {
	if err := k.file.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	var result error
	err := k.raw.Write(func(fd uintptr) bool {
		// Asked again, connect(2) tells how the first call ended.
		result = unix.Connect(int(fd), to)
		return result != unix.EINPROGRESS && result != unix.EALREADY && result != unix.EINTR
	})
	if err == nil && result != nil && result != unix.EISCONN {
		err = &net.OpError{Op: "connect", Net: "tcp", Err: os.NewSyscallError("connect", result)}
	}
	return err
}

func (k *knocker) disconnect() error {
	var result error
	err := k.raw.Control(func(fd uintptr) {
		var unspec unix.RawSockaddr // of family AF_UNSPEC, which is 0
		_, _, number := unix.RawSyscall(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&unspec)), unsafe.Sizeof(unspec))
		if number != 0 {
			result = number
		}
	})
	return errors.Join(err, result)
}
