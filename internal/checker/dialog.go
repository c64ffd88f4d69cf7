package checker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
)

// maxDialog is how much a server may say in a dialog, bytes.
const maxDialog = 1 << 20

func limitReader(r io.Reader) *bufio.Reader { return bufio.NewReader(io.LimitReader(r, maxDialog)) }

// dialogAsker is one of ldirectord's protocol checks.
type dialogAsker struct{ check *Check }

// dialogs are the protocols: each has a conversation, and gives what the server said to the request.
var dialogs = map[string]func(*Dialog, *bufio.Reader, io.Writer) (string, error){
	"simple": simpleDialog,
	"redis":  redisDialog,
	"imap":   imapDialog,
	"pop":    popDialog,
	"ftp":    ftpDialog,
	"ldap":   ldapDialog,
}

func (a *dialogAsker) ask(ctx context.Context) (int, bool, error) {
	answer, err := a.converse(ctx)
	if err != nil {
		return 0, false, err
	}
	d := a.check.Dialog
	if d.Receive == "" {
		return 0, false, nil
	}
	wanted, err := regexp.Compile(d.Receive)
	if err != nil {
		return 0, false, err
	}
	if !wanted.MatchString(answer) {
		return 0, false, fmt.Errorf("the answer %q does not match %q", answer[:min(len(answer), 60)], d.Receive)
	}
	return 0, false, nil
}

func (a *dialogAsker) converse(ctx context.Context) (string, error) {
	d := a.check.Dialog
	if database, ok := databases[d.Protocol]; ok {
		return database(ctx, a.check)
	}
	dialog, ok := dialogs[d.Protocol]
	if !ok {
		return "", errors.New("no such protocol: " + d.Protocol)
	}
	conn, err := a.check.dial(ctx, "tcp")
	if err != nil {
		return "", err
	}
	stream := net.Conn(conn)
	if d.TLS {
		if stream, err = a.check.secure(ctx, conn, nil, ""); err != nil {
			conn.Close()
			return "", err
		}
	}
	stream, release := a.check.converse(ctx, stream)
	defer release()
	answer, err := dialog(d, limitReader(stream), stream)
	return answer, a.check.explainDialog(err)
}

func (c *Check) explainDialog(err error) error {
	if err == nil {
		return nil
	}
	return c.explain(err)
}

// say sends a line.
func say(w io.Writer, line string) error {
	if strings.ContainsAny(line, "\r\n") {
		return errors.New("a line break in what is to be said")
	}
	_, err := io.WriteString(w, line+"\r\n")
	return err
}

// hear reads a line, without its end.
func hear(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return line, err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// simpleDialog sends the request, and gives what comes back first.
func simpleDialog(d *Dialog, r *bufio.Reader, w io.Writer) (string, error) {
	if d.Request != "" {
		if _, err := io.WriteString(w, d.Request); err != nil {
			return "", err
		}
	}
	if d.Receive == "" {
		return "", nil
	}
	buffer := make([]byte, 64<<10)
	n, err := r.Read(buffer)
	return string(buffer[:n]), err
}

// redisDialog is PING, or the request, after AUTH with a password (the RESP protocol's inline commands).
func redisDialog(d *Dialog, r *bufio.Reader, w io.Writer) (string, error) {
	if d.Password != "" {
		login := d.Password
		if d.User != "" {
			login = d.User + " " + login
		}
		if err := say(w, "AUTH "+login); err != nil {
			return "", err
		}
		if line, err := hear(r); err != nil || !strings.HasPrefix(line, "+OK") {
			return "", refused("AUTH", line, err)
		}
	}
	request := d.Request
	if request == "" {
		request = "PING"
	}
	if err := say(w, request); err != nil {
		return "", err
	}
	line, err := hear(r)
	if err != nil || strings.HasPrefix(line, "-") {
		return "", refused(request, line, err)
	}
	if strings.HasPrefix(line, "$") && line != "$-1" { // a string of its own length follows
		return hear(r)
	}
	return line, nil
}

func refused(what, answer string, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: the answer is %q", what, answer)
}

// imapDialog is RFC 9051: greeting, LOGIN with a user, LOGOUT.
func imapDialog(d *Dialog, r *bufio.Reader, w io.Writer) (string, error) {
	greeting, err := hear(r)
	if err != nil || !strings.HasPrefix(greeting, "* OK") && !strings.HasPrefix(greeting, "* PREAUTH") {
		return "", refused("greeting", greeting, err)
	}
	if d.User != "" {
		quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
		if err := say(w, `a1 LOGIN "`+quote.Replace(d.User)+`" "`+quote.Replace(d.Password)+`"`); err != nil {
			return "", err
		}
		for {
			line, err := hear(r)
			if err != nil {
				return "", err
			}
			if rest, ok := strings.CutPrefix(line, "a1 "); ok {
				if !strings.HasPrefix(rest, "OK") {
					return "", refused("LOGIN", rest, nil)
				}
				break
			}
		}
	}
	return greeting, say(w, "a2 LOGOUT")
}

// popDialog is RFC 1939: greeting, USER and PASS with a user, QUIT.
func popDialog(d *Dialog, r *bufio.Reader, w io.Writer) (string, error) {
	return lineDialog(d, r, w, func(line string) bool { return strings.HasPrefix(line, "+OK") })
}

// ftpDialog is RFC 959: greeting, USER and PASS with a user, QUIT.
func ftpDialog(d *Dialog, r *bufio.Reader, w io.Writer) (string, error) {
	return lineDialog(d, r, w, func(line string) bool { return line != "" && (line[0] == '2' || line[0] == '3') })
}

func lineDialog(d *Dialog, r *bufio.Reader, w io.Writer, fine func(string) bool) (string, error) {
	next := func() (string, error) {
		for {
			line, err := hear(r)
			if err != nil || len(line) < 4 || line[3] != '-' { // FTP's answers of several lines: RFC 959, Section 4.2
				return line, err
			}
		}
	}
	greeting, err := next()
	if err != nil || !fine(greeting) {
		return "", refused("greeting", greeting, err)
	}
	if d.User != "" {
		for _, line := range []string{"USER " + d.User, "PASS " + d.Password} {
			if err := say(w, line); err != nil {
				return "", err
			}
			name := line[:4]
			answer, err := next()
			if err != nil || !fine(answer) {
				return "", refused(name, answer, err)
			}
			if strings.HasPrefix(answer, "230") { // logged in, no password is wanted
				break
			}
		}
	}
	return greeting, say(w, "QUIT")
}

// ldapDialog is a simple bind (RFC 4511, Section 4.2), anonymous without a user.
func ldapDialog(d *Dialog, r *bufio.Reader, w io.Writer) (string, error) {
	if len(d.User)+len(d.Password) > 100 {
		return "", errors.New("user and password are longer than 100 bytes")
	}
	bind := []byte{0x02, 0x01, 3, 0x04, byte(len(d.User))} // version 3, the name
	bind = append(bind, d.User...)
	bind = append(append(bind, 0x80, byte(len(d.Password))), d.Password...) // [0] simple
	message := append([]byte{0x02, 0x01, 1, 0x60, byte(len(bind))}, bind...)
	if _, err := w.Write(append([]byte{0x30, byte(len(message))}, message...)); err != nil {
		return "", err
	}
	code, err := ldapResult(r)
	if err != nil {
		return "", err
	}
	if code != 0 {
		return "", fmt.Errorf("bind: the result is %d", code)
	}
	_, err = w.Write([]byte{0x30, 0x05, 0x02, 0x01, 2, 0x42, 0x00}) // unbind
	return "", err
}

// ldapResult reads a BindResponse's result code.
func ldapResult(r *bufio.Reader) (int, error) {
	errMalformed := errors.New("the answer is not LDAP")
	sequence, err := berValue(r, 0x30)
	if err != nil {
		return 0, err
	}
	inner := bufio.NewReader(strings.NewReader(string(sequence)))
	if _, err := berValue(inner, 0x02); err != nil {
		return 0, errMalformed
	}
	response, err := berValue(inner, 0x61)
	if err != nil {
		return 0, errMalformed
	}
	code, err := berValue(bufio.NewReader(strings.NewReader(string(response))), 0x0a)
	if err != nil || len(code) != 1 {
		return 0, errMalformed
	}
	return int(code[0]), nil
}

// berValue reads one element of a tag (X.690, Section 8.1), up to 64 KiB.
func berValue(r *bufio.Reader, tag byte) ([]byte, error) {
	got, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	length, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	n := int(length)
	if length&0x80 != 0 {
		n = 0
		for range length & 0x7f {
			b, err := r.ReadByte()
			if err != nil {
				return nil, err
			}
			if n = n<<8 | int(b); n > 64<<10 {
				break
			}
		}
	}
	if got != tag || n > 64<<10 {
		return nil, errors.New("the answer is not LDAP")
	}
	value := make([]byte, n)
	_, err = io.ReadFull(r, value)
	return value, err
}
