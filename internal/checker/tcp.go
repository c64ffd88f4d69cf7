package checker

import (
	"context"
	"net"
)

// tcpAsker is TCP_CHECK: a connection that comes about is all it asks for.
type tcpAsker struct{ check *Check }

func (a *tcpAsker) ask(ctx context.Context) (int, bool, error) {
	conn, err := a.check.dial(ctx, "tcp")
	if err != nil {
		return 0, false, err
	}
	return 0, false, closeAtOnce(conn)
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
