package checker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
)

// randomPayload is how much is sent where there is no payload, bytes.
const randomPayload = 32

// udpAsker is UDP_CHECK: a datagram that no ICMP error comes back for, and with require_reply an answer. Without, the
// server has the whole timeout to refuse.
type udpAsker struct{ check *Check }

func (a *udpAsker) ask(ctx context.Context) (int, bool, error) {
	u := a.check.UDP
	payload := u.Payload
	if len(payload) == 0 {
		payload = make([]byte, randomPayload)
		_, _ = rand.Read(payload) // it never fails
	}
	conn, err := a.check.dial(ctx, "udp")
	if err != nil {
		return 0, false, err
	}
	stream, release := a.check.converse(ctx, conn)
	defer release()
	if _, err := stream.Write(payload); err != nil {
		return 0, false, err
	}
	answer := make([]byte, 65535)
	n, err := stream.Read(answer)
	if errors.Is(err, os.ErrDeadlineExceeded) && !u.Require {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if !u.Require {
		return 0, false, nil
	}
	return 0, false, u.judge(answer[:n])
}

// judge holds an answer against what is wanted of it.
func (u *UDP) judge(answer []byte) error {
	if n := len(answer); n < u.MinReply || n > u.MaxReply {
		return fmt.Errorf("the answer has %d bytes, wanted %d to %d", n, u.MinReply, u.MaxReply)
	}
	for i := range min(len(answer), len(u.Reply)) {
		mask := byte(0xff)
		if i < len(u.ReplyMask) {
			mask = u.ReplyMask[i]
		}
		if (answer[i]^u.Reply[i])&mask != 0 {
			return fmt.Errorf("byte %d of the answer is %02x, wanted %02x", i+1, answer[i], u.Reply[i])
		}
	}
	return nil
}
