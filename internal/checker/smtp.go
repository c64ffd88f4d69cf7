package checker

import (
	"context"
	"fmt"
	"io"
	"net/textproto"
	"os"
)

// smtpAsker is SMTP_CHECK: greeting, HELO and QUIT (RFC 5321, Section 3).
type smtpAsker struct{ check *Check }

func (a *smtpAsker) ask(ctx context.Context) (int, bool, error) {
	conn, err := a.check.dial(ctx, "tcp")
	if err != nil {
		return 0, false, err
	}
	stream, release := a.check.converse(ctx, conn)
	defer release()
	name := a.check.SMTP.HELO
	if name == "" {
		name, _ = os.Hostname()
	}
	text := textproto.NewReader(limitReader(stream))
	for _, step := range []struct{ say, name string }{{"", "greeting"}, {"HELO " + name, "HELO"}, {"QUIT", "QUIT"}} {
		if step.say != "" {
			if _, err := io.WriteString(stream, step.say+"\r\n"); err != nil {
				return 0, false, err
			}
		}
		code, answer, err := text.ReadResponse(2)
		if code != 0 && err != nil {
			return 0, false, fmt.Errorf("%s: the answer is %d %s", step.name, code, answer)
		}
		if err != nil {
			return 0, false, a.check.explain(err)
		}
	}
	return 0, false, nil
}
