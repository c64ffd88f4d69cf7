package checker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dial connects to where a check asks, from where it is to ask, within the check's timeout.
func (c *Check) dial(ctx context.Context, network string) (net.Conn, error) {
	d := net.Dialer{Timeout: c.Timing.Timeout, KeepAlive: -1, FallbackDelay: -1, Control: c.control}
	bind, err := c.source()
	if err != nil {
		return nil, c.explain(err)
	}
	if bind.IsValid() {
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(bind)
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(bind)
		}
	}
	d.SetMultipathTCP(false)
	conn, err := d.DialContext(ctx, network, c.Addr.String())
	if err != nil {
		return nil, c.explain(err)
	}
	return conn, nil
}

// source gives from where a check asks; the zero address is chosen by the kernel.
func (c *Check) source() (netip.AddrPort, error) {
	if !c.Via.IsValid() || c.Bind.Addr().IsValid() && !c.Bind.Addr().IsUnspecified() {
		return c.Bind, nil
	}
	towards, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.Via, discardPort))) // sends nothing
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer towards.Close()
	return netip.AddrPortFrom(towards.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), c.Bind.Port()), nil
}

const discardPort = 9 // RFC 863

// control sets what a socket must have before it connects.
func (c *Check) control(_, _ string, raw syscall.RawConn) error {
	if c.Mark == 0 && c.Interface == "" && c.Bind.Port() == 0 {
		return nil
	}
	var failed error
	err := raw.Control(func(fd uintptr) {
		if c.Mark != 0 {
			failed = errors.Join(failed, os.NewSyscallError("SO_MARK", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(c.Mark))))
		}
		if c.Interface != "" {
			failed = errors.Join(failed, os.NewSyscallError("SO_BINDTODEVICE", unix.BindToDevice(int(fd), c.Interface)))
		}
		if c.Bind.Port() != 0 { // the port of the last question is still in TIME_WAIT
			failed = errors.Join(failed, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
		}
	})
	return errors.Join(err, failed)
}

// explain says in few words why a connection failed.
func (c *Check) explain(err error) error {
	var n net.Error
	switch {
	case errors.As(err, &n) && n.Timeout():
		return noAnswerError(c.Timing.Timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the server has closed the connection")
	}
	return err
}

// A noAnswerError is the time that nothing came in. It is os.ErrDeadlineExceeded.
type noAnswerError time.Duration

func (e noAnswerError) Error() string        { return "no answer in " + short(time.Duration(e)) }
func (e noAnswerError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// reason gives an error's text without the addresses, which the reader knows.
func reason(err error) string {
	var op *net.OpError
	var number syscall.Errno
	if errors.As(err, &op) && errors.As(err, &number) {
		return number.Error()
	}
	text := []rune(err.Error())
	return string(text[:min(len(text), 200)])
}

// short gives "5s" and "1.5s".
func short(d time.Duration) string { return d.Round(time.Millisecond).String() }

// secure does the client's part of TLS, within the check's timeout.
func (c *Check) secure(ctx context.Context, conn net.Conn, t *TLS, name string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timing.Timeout)
	defer cancel()
	secured := tls.Client(conn, t.config(name))
	if err := secured.HandshakeContext(ctx); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("TLS handshake: no answer in %s", short(c.Timing.Timeout))
		}
		if explained := c.explain(err); explained != err {
			return nil, fmt.Errorf("TLS handshake: %w", explained)
		}
		return nil, fmt.Errorf("TLS handshake: %s", reason(err))
	}
	return secured, nil
}

// A patient conn has each read and write done within the check's timeout, and ends them when ctx does.
type patientConn struct {
	net.Conn
	check *Check
}

// converse gives a connection whose steps are bounded in time; release ends that.
func (c *Check) converse(ctx context.Context, conn net.Conn) (patient net.Conn, release func()) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return &patientConn{conn, c}, func() {
		stop()
		conn.Close()
	}
}

func (p *patientConn) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(p.check.Timing.Timeout)); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = p.check.explain(err)
	}
	return n, err
}

func (p *patientConn) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(p.check.Timing.Timeout)); err != nil {
		return 0, err
	}
	n, err := p.Conn.Write(b)
	if err != nil {
		err = p.check.explain(err)
	}
	return n, err
}
