// Package checker asks real servers whether they serve: keepalived's checks, and those of ldirectord that
// keepalived lacks. It knows nothing of pools; what a server's checks mean for its weight is for
// internal/pool.
package checker

import (
	"crypto/tls"
	"encoding/json"
	"net/netip"
	"regexp"
	"time"
)

// A Check is one question to one server, asked over and over. Two checks with the same Key are asked once,
// however many virtual servers they belong to.
type Check struct {
	Kind Kind
	Timing
	Endpoint
	// One of them is set, by Kind; TCP and PING have none.
	HTTP   *HTTP   `json:",omitempty"`
	SMTP   *SMTP   `json:",omitempty"`
	DNS    *DNS    `json:",omitempty"`
	UDP    *UDP    `json:",omitempty"`
	Misc   *Misc   `json:",omitempty"`
	File   *File   `json:",omitempty"`
	Dialog *Dialog `json:",omitempty"`
}

// Kind is the kind of a check, by keepalived's word for its block.
type Kind string

// The kinds.
const (
	KindTCP    Kind = "TCP_CHECK"
	KindHTTP   Kind = "HTTP_GET"
	KindSSL    Kind = "SSL_GET"
	KindSMTP   Kind = "SMTP_CHECK"
	KindDNS    Kind = "DNS_CHECK"
	KindUDP    Kind = "UDP_CHECK"
	KindPing   Kind = "PING_CHECK"
	KindMisc   Kind = "MISC_CHECK"
	KindFile   Kind = "FILE_CHECK"
	KindDialog Kind = "DIALOG_CHECK" // ldirectord's protocols; Drover's own
)

// Timing says when a check is asked.
type Timing struct {
	Delay      time.Duration // delay_loop: from one question to the next, and at least half of it from an answer
	Warmup     time.Duration // the first question comes at a random moment before; 0: at once
	Timeout    time.Duration // connect_timeout: of each step that waits for the server
	Retry      int           // failures after which a server that is up fails, less one
	RetryDelay time.Duration // delay_before_retry: Delay after a failure, while retries are left
	StartDown  bool          // alpha: down until it was asked; without, up
	LogAll     bool          // log_all_failures: each failed question is reported, not the last retry alone
}

// An Endpoint is where a check connects to, and from where.
type Endpoint struct {
	Addr      netip.AddrPort // connect_ip and connect_port, by default the real server's
	Bind      netip.AddrPort `json:",omitzero"`  // bindto and bind_port; the zero address or port is chosen by the kernel
	Interface string         `json:",omitempty"` // bind_if
	Mark      uint32         `json:",omitempty"` // fwmark: SO_MARK of the socket
	// Via is the server that is behind Addr, where that is the VIP (check_via). Unless Bind says otherwise it is asked from
	// the address that this host has towards Via: by itself the kernel would take the VIP, and the server has that too.
	Via netip.Addr `json:",omitzero"`
}

// HTTP is HTTP_GET and SSL_GET.
type HTTP struct {
	URLs         []URL
	Version      Version
	FastRecovery bool // after a failure, the urls that are left are asked without waiting between them
	VirtualHost  string
	SNI          bool   // enable_sni: TLS names the virtual host,
	SNIName      string `json:",omitempty"` // or, with sni_name, this
	TLSCompliant bool   `json:",omitempty"` // tls_compliant: a TLS connection that ends without saying so has failed
	TLS          *TLS   `json:",omitempty"` // SSL{} of the configuration: key, certificate, authority
}

// Version is http_protocol.
type Version string

// The versions.
const (
	HTTP10  Version = "1.0"  // "GET / HTTP/1.0"
	HTTP11  Version = "1.1"  // with "Connection: close"
	HTTP10C Version = "1.0C" // 1.0 that says close
	HTTP10K Version = "1.0K" // 1.0 with keep-alive
	HTTP11K Version = "1.1K" // 1.1 with keep-alive
)

// URL is one page to ask for, and what its answer must be. All that is set must hold.
type URL struct {
	Path        string
	VirtualHost string        `json:",omitempty"` // of this url; else that of HTTP
	Status      []StatusRange `json:",omitempty"` // none: 200 to 299, unless Digest is set
	Digest      string        `json:",omitempty"` // MD5 of the body, 32 hexadecimal digits
	Regex       *Regex        `json:",omitempty"`
}

// StatusRange is an inclusive range of HTTP statuses.
type StatusRange struct{ From, To int }

// Regex is what the body must, or with Not must not, match.
type Regex struct {
	Pattern   string
	Flags     string `json:",omitempty"` // regex_options: i, m, s and U, as in (?imsU)
	Not       bool   `json:",omitempty"` // regex_no_match
	MinOffset int    `json:",omitempty"` // regex_min_offset: matches that begin before do not count
	MaxOffset int    `json:",omitempty"` // regex_max_offset; 0: to the end
	compiled  *regexp.Regexp
}

// TLS is what SSL_GET presents and trusts. keepalived checks no server certificate unless a CA is given.
type TLS struct {
	Certificates []tls.Certificate `json:"-"`
	CA           []byte            `json:",omitempty"` // PEM; empty: any certificate will do
	Print        string            // of key and certificate, to tell them from others in a Key
}

// SMTP is SMTP_CHECK: the greeting and HELO must be answered with 2xx.
type SMTP struct {
	HELO string // helo_name
}

// DNS is DNS_CHECK: an answer of any kind but an error will do.
type DNS struct {
	Type string // "A", "AAAA", "SOA", ...
	Name string // "." by default
}

// UDP is UDP_CHECK: a datagram that must not be refused, and by choice must be answered.
type UDP struct {
	Payload   []byte `json:",omitempty"`
	Require   bool   `json:",omitempty"` // require_reply
	Reply     []byte `json:",omitempty"` // reply_data: what the answer holds
	ReplyMask []byte `json:",omitempty"` // bits of Reply that count; none: all
	MinReply  int    `json:",omitempty"` // bytes
	MaxReply  int    `json:",omitempty"` // bytes; 0: any
}

// Misc is MISC_CHECK: a program's exit status.
type Misc struct {
	Command []string
	Timeout time.Duration // after which the program and its children are ended; 0: the check's delay
	Dynamic bool          // misc_dynamic: 2 to 255 give the weight, less 2
	User    string        `json:",omitempty"` // by name or number; empty: that of the default
	Group   string        `json:",omitempty"`
}

// File is FILE_CHECK: a number in a file changes the weight.
type File struct {
	Path    string
	Weight  int  // times the number is added to the server's weight; 0: the number 0 is up, others are down
	Reverse bool // weight N reverse: of the opposite sign
}

// Dialog is one of ldirectord's protocol checks.
type Dialog struct {
	Protocol string // "mysql", "pgsql", "redis", "ldap", "imap", "pop", "ftp", "simple"
	TLS      bool   `json:",omitempty"`
	User     string `json:",omitempty"`
	Password string `json:",omitempty"`
	Database string `json:",omitempty"`
	Request  string `json:",omitempty"`
	Receive  string `json:",omitempty"` // a regular expression that the answer must match
}

// Key tells checks apart: what the same key names is asked once.
func (c *Check) Key() Key {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // no value of a Check refuses to be written
	}
	return Key(text)
}

// A Key names a check by all that it is.
type Key string

// A Result is the answer to one question.
type Result struct {
	At     time.Time     // when it ended
	Took   time.Duration // from the first packet to the verdict
	OK     bool
	Reason string // why not, in a few words: "HTTP status 503, wanted 200-299"; empty when OK
	Weight int    // of File: to be added to the server's weight; with SetsWeight: the server's weight
	// SetsWeight is set by a MISC_CHECK with misc_dynamic whose program has named a weight (exit status 2 to 255).
	SetsWeight bool
}

// A State is what is known of a check. The zero value is that of one that was never asked and is down.
type State struct {
	Up       bool
	HasRun   bool
	Failures int       // one after the other
	Weight   int       // of the last Result
	Last     Result    // zero before the first
	Since    time.Time // when Up last changed; zero: never
}

// A Report tells of a change, or of a failure that is worth a line in the log.
type Report struct {
	Key     Key
	State   State
	Changed bool // Up or Weight is another than before
}
