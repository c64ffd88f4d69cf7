package config

import (
	"time"

	"drover/internal/checker"
	"drover/internal/lvs"
)

// A Config is all that a keepalived.conf says, with defaults, inheritance and limits applied.
type Config struct {
	File           string // the file that was read first
	Global         Global
	VirtualServers []VirtualServer
	VRRP           VRRP
	Files          []InitFile // track_files that are to be there when the director begins
	Drover         Drover     // what keepalived has no word for
}

// An InitFile is init_file of a track_file.
type InitFile struct {
	Path      string
	Number    int
	Overwrite bool // also where it is there
}

// A Position is a line of a file.
type Position struct {
	File string
	Line int
}

// A VirtualServer is a virtual_server block: one service, or with a virtual_server_group several, and the
// pool of real servers behind them.
type VirtualServer struct {
	At       Position
	Name     string           // as keepalived writes it: "[192.0.2.1]:tcp:80", "FWM 5", "[group]:tcp"
	Group    string           // of a virtual_server_group, or empty
	Services []lvs.ServiceKey // what the pool serves, in the file's order
	// Scheduler, Flags, Timeout, Netmask, PrefixLen and PE; its key is not used.
	Template lvs.Service

	RealServers []RealServer
	Sorry       *RealServer // sorry_server
	SorryWeight bool        // sorry_server_inhibit: the sorry server is set to weight 0 instead of removed

	Alpha      bool
	Omega      bool
	Quorum     int // sum of weights, at least 1
	Hysteresis int
	// QuorumPercent and HysteresisPercent, where not 0, are of the pool's configured weight and take the
	// place of the two above (Drover's own).
	QuorumPercent, HysteresisPercent int

	QuorumUp, QuorumDown *Script
	HASuspend            bool
	SMTPAlert            bool
}

// A RealServer is a real_server block, or a sorry server.
type RealServer struct {
	At          Position
	Name        string // as keepalived writes it: "[192.0.2.11]:tcp:80"
	Destination lvs.Destination
	Inhibit     bool          // inhibit_on_failure: weight 0 instead of leaving
	SlowStart   time.Duration // over which a server that comes back gets its weight (Drover's own)

	Checks []checker.Check
	// ViaMark is the firewall mark of the checks that go by the VIP (check_via); 0: none does.
	ViaMark              uint32
	NotifyUp, NotifyDown *Script
	SMTPAlert            bool
}

// A Script is a program to run, with its arguments, and as whom.
type Script struct {
	At      Position
	Command []string
	User    string // by name or number; empty: the default
	Group   string
}

// Global is global_defs.
type Global struct {
	RouterID          string
	NotificationEmail []string
	EmailFrom         string
	SMTPHost          string // host:port, or empty
	SMTPHelo          string
	SMTPTimeout       time.Duration // smtp_connect_timeout
	SMTPAlert         *bool         // smtp_alert: the default of all; nil: not said
	SMTPAlertChecker  *bool
	SMTPAlertVRRP     *bool
	NoEmailFaults     bool

	ScriptUser, ScriptGroup string
	ScriptSecurity          bool // enable_script_security

	NotifyFIFO     *FIFO // of everything
	LVSNotifyFIFO  *FIFO // of virtual and real servers
	VRRPNotifyFIFO *FIFO

	Flush       bool // lvs_flush: all services are removed at start
	FlushOnStop FlushOnStop
	Timeouts    lvs.Timeouts // lvs_timeouts; zero where not said

	Sync *SyncDaemon // lvs_sync_daemon, or nil

	LogAllFailures bool          // checker_log_all_failures
	StartupDelay   time.Duration // vrrp_startup_delay
}

// A FIFO is a pipe that is told what happens, and by choice a program that reads it.
type FIFO struct {
	Path   string
	Script *Script
}

// FlushOnStop is lvs_flush_on_stop [VS].
type FlushOnStop int

// What is removed when the daemon ends.
const (
	FlushNothing  FlushOnStop = iota // Drover's default: traffic goes on without the daemon
	FlushServers                     // lvs_flush_on_stop: virtual and real servers
	FlushServices                    // lvs_flush_on_stop VS: virtual servers, their connections go with them
)

// Drover is the block `drover { ... }`.
type Drover struct {
	MassFailureGuard int    // percent of all servers that must fail at once for the guard to act; 0: off
	MetricsAddress   string // host:port on loopback, or empty
	Webhooks         []Webhook
	Interfaces       []string // to attach the data path to; none: chosen
}

// A Webhook is told of events over HTTP.
type Webhook struct {
	At     Position
	URL    string
	Kind   string // "generic", "dingtalk", "wecom", "feishu"
	Secret string // that DingTalk and Feishu sign with, or empty
}
