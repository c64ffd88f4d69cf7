package notify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"strings"
	"time"

	"drover/internal/config"
	"drover/internal/director"
)

// mailTries is how often a message is tried.
const mailTries = 3

// subject gives keepalived's words for an event; nothing for those that no mail is sent of.
func subject(e director.Event) string {
	switch {
	case e.Kind == director.KindServer && e.Origin.Real != nil && e.Origin.Real.SMTPAlert:
		return fmt.Sprintf("Realserver %s of virtual server %s - %s", e.RealServer, e.VirtualServer, e.State)
	case e.Kind == director.KindVirtual && e.Origin.Virtual != nil && e.Origin.Virtual.SMTPAlert:
		return fmt.Sprintf("Virtualserver %s - %s", e.VirtualServer, e.State)
	case e.Kind == director.KindVRRP && e.Origin.Instance != nil && e.Origin.Instance.SMTPAlert:
		return fmt.Sprintf("VRRP Instance %s - Entering %s state", e.Instance, e.State)
	case e.Kind == director.KindVRRPGroup && e.Origin.Group != nil && e.Origin.Group.SMTPAlert:
		return fmt.Sprintf("VRRP Group %s - %s transition", e.Instance, e.State)
	}
	return ""
}

// sendMail sends an event's message, if the configuration has a server and somebody to tell.
func (n *Notifier) sendMail(e director.Event) {
	g := &n.config.Global
	text := subject(e)
	if text == "" || g.SMTPHost == "" || len(g.NotificationEmail) == 0 || g.NoEmailFaults && e.State != "UP" {
		return
	}
	m := message{global: *g, subject: fmt.Sprintf("[%s] %s", g.RouterID, text), body: "=> " + e.Message + " <=", at: e.Time}
	if e.Reason != "" {
		m.body += "\r\n" + e.Reason
	}
	n.put(n.mail, func(ctx context.Context) { n.deliver(ctx, &m) })
}

// A message is one that is to be sent.
type message struct {
	global  config.Global
	subject string
	body    string
	at      time.Time
}

func (n *Notifier) deliver(ctx context.Context, m *message) {
	var err error
	for try := range mailTries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Duration(try) * time.Second):
			}
		}
		if err = m.send(ctx); err == nil {
			return
		}
	}
	n.log.Error("mail is not sent", "server", m.global.SMTPHost, "subject", m.subject, "error", err)
}

// send is RFC 5321, without authentication, as keepalived speaks it to a relay.
func (m *message) send(ctx context.Context) error {
	g := &m.global
	d := net.Dialer{Timeout: g.SMTPTimeout}
	conn, err := d.DialContext(ctx, "tcp", g.SMTPHost)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(max(g.SMTPTimeout, time.Second) * 4)); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(g.SMTPHost)
	client, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	name := g.SMTPHelo
	if name == "" {
		name, _ = os.Hostname()
	}
	if err := client.Hello(name); err != nil {
		return err
	}
	if err := client.Mail(m.from()); err != nil {
		return err
	}
	for _, to := range g.NotificationEmail {
		if err := client.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	_, err = w.Write([]byte(m.text()))
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	return client.Quit()
}

func (m *message) from() string {
	if m.global.EmailFrom != "" {
		return m.global.EmailFrom
	}
	host, _ := os.Hostname()
	return "keepalived@" + host
}

// text is the message in the form of RFC 5322. A value that came with line breaks can't add headers.
func (m *message) text() string {
	var out strings.Builder
	host, _ := os.Hostname()
	for _, header := range [][2]string{
		{"Date", m.at.Format(time.RFC1123Z)},
		{"From", m.from()},
		{"To", strings.Join(m.global.NotificationEmail, ", ")},
		{"Subject", m.subject},
		{"X-Mailer", "Drover"},
		{"Message-ID", "<" + rand.Text() + "@" + host + ">"},
	} {
		out.WriteString(header[0] + ": " + oneLine(header[1]) + "\r\n")
	}
	out.WriteString("\r\n" + m.body + "\r\n")
	return out.String()
}

func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
