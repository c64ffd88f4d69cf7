package checker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

var dnsTypes = map[string]dnsmessage.Type{
	"A": dnsmessage.TypeA, "NS": dnsmessage.TypeNS, "CNAME": dnsmessage.TypeCNAME, "SOA": dnsmessage.TypeSOA,
	"MX": dnsmessage.TypeMX, "TXT": dnsmessage.TypeTXT, "AAAA": dnsmessage.TypeAAAA,
}

// dnsAsker is DNS_CHECK (RFC 1035): a question by UDP, which must be answered without an error.
type dnsAsker struct{ check *Check }

func (a *dnsAsker) ask(ctx context.Context) (int, bool, error) {
	question, id, err := a.question()
	if err != nil {
		return 0, false, err
	}
	conn, err := a.check.dial(ctx, "udp")
	if err != nil {
		return 0, false, err
	}
	stream, release := a.check.converse(ctx, conn)
	defer release()
	if _, err := stream.Write(question); err != nil {
		return 0, false, err
	}
	answer := make([]byte, 65535)
	for {
		n, err := stream.Read(answer)
		if err != nil {
			return 0, false, err
		}
		var p dnsmessage.Parser
		header, err := p.Start(answer[:n])
		if err != nil || header.ID != id || !header.Response {
			continue // somebody else's, or to another question
		}
		if header.RCode != dnsmessage.RCodeSuccess {
			return 0, false, fmt.Errorf("the answer is %s", strings.TrimPrefix(header.RCode.String(), "RCode"))
		}
		return 0, false, nil
	}
}

func (a *dnsAsker) question() ([]byte, uint16, error) {
	name := a.check.DNS.Name
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	parsed, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", name, err)
	}
	kind, ok := dnsTypes[a.check.DNS.Type]
	if !ok {
		return nil, 0, errors.New("no such type: " + a.check.DNS.Type)
	}
	id := uint16(rand.N(1 << 16))
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: parsed, Type: kind, Class: dnsmessage.ClassINET}},
	}
	text, err := m.Pack()
	return text, id, err
}
