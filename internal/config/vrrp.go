package config

import (
	"net/netip"
	"time"

	"drover/internal/lvs"
)

// VRRP is what a configuration says of VRRP, with defaults and limits applied. It is read and checked; it is acted on
// when VRRP is there.
type VRRP struct {
	Defaults  VRRPDefaults
	Instances []Instance
	Groups    []SyncGroup
	Scripts   []TrackScript
	Files     []TrackFile
	Processes []TrackProcess

	StaticAddresses []VIP
	StaticRoutes    []Route
	StaticRules     []Rule
	TrackGroups     []TrackGroup
	GARPGroups      []GARPGroup
	Delays          []InterfaceDelay // interface_up_down_delays
}

// VRRPDefaults are those of global_defs, for instances that do not say otherwise.
type VRRPDefaults struct {
	Version            int // 2 or 3
	Strict             bool
	Multicast4         netip.Addr // 224.0.0.18
	Multicast6         netip.Addr // ff02::12
	Interface          string     // default_interface: of static addresses
	GARP               GARP
	DownTimerAdverts   int
	GARPInterval       time.Duration // between the gratuitous ARPs of an interface
	GNAInterval        time.Duration // between its unsolicited neighbour advertisements
	LowerPrioNoAdvert  bool
	HigherPrioSend     bool
	SkipCheckAddr      bool
	CheckUnicastSource bool
	NotifyPriority     bool // vrrp_notify_priority_changes
	DynamicInterfaces  bool
	LogUnknownVRIDs    bool
}

// GARP is how often an instance tells its addresses by gratuitous ARP and unsolicited neighbour advertisements.
type GARP struct {
	Delay          time.Duration // before the second set, after becoming MASTER; 0: no second set
	Repeat         int           // messages of a set
	LowerDelay     time.Duration // garp_lower_prio_delay: the same after an advert of lower priority
	LowerRepeat    int
	Refresh        time.Duration // while MASTER; 0: never
	RefreshRepeat  int
	ExtraInterface time.Duration // garp_extra_if: on the other interfaces of VIPs; 0: never
	ExtraAll       bool          // on all of them, not VMACs alone
}

// An Instance is a vrrp_instance block: a virtual router.
type Instance struct {
	At        Position
	Name      string
	Interface string
	VRID      int
	Family    lvs.Family
	Version   int  // 2 or 3
	Priority  int  // 1 to 255; 255 owns the addresses
	Master    bool // state MASTER: begins as MASTER where it owns the addresses
	Advert    time.Duration
	Auth      *Authentication

	VIPs     []VIP
	Excluded []VIP // virtual_ipaddress_excluded
	Routes   []Route
	Rules    []Rule

	NoPreempt        bool
	PreemptDelay     time.Duration
	DownTimerAdverts int // advert intervals until a backup takes over
	GARP             GARP

	Source          netip.Addr // mcast_src_ip or unicast_src_ip; invalid: the interface's
	TrackSource     bool
	Multicast       netip.Addr // adverts go there, without Peers
	Peers           []Peer     // unicast_peer
	UnicastTTL      int        // -1: not said
	FaultNoPeer     bool       // unicast_fault_no_peer
	CheckSource     bool       // check_unicast_src
	OldChecksum     string     // old_unicast_checksum: "", "always" or "never"
	ChecksumAsV2    bool       // v3_checksum_as_v2
	IgnoreAdverts   bool       // owner_ignore_adverts
	VMAC            *VMAC      // use_vmac, use_ipvlan
	VMACAddresses   bool       // use_vmac_addr
	VRF             string
	Strict          bool
	NoAccept        bool
	LowerNoAdvert   bool // lower_prio_no_advert
	HigherSend      bool // higher_prio_send_advert
	SkipCheckAddr   bool
	DontTrackDevice bool // dont_track_primary
	Promote         bool // promote_secondaries

	Track     Track
	Notify    Notify
	SMTPAlert bool
}

// Authentication is VRRP version 2's (RFC 2338, Section 5.3.6), which RFC 3768 took away.
type Authentication struct {
	AH       bool
	Password string // 8 bytes at most
}

// A Peer is a line of unicast_peer.
type Peer struct {
	Addr           netip.Addr
	MinTTL, MaxTTL int // of what it sends
}

// A VMAC is an interface of an instance's own.
type VMAC struct {
	IPVLAN bool
	Name   string // empty: chosen
	MAC    string // empty: that of the VRID, RFC 9568, Section 7.3
	Addr   netip.Prefix
	Mode   string // of IPVLAN: bridge, private or vepa
	Base   bool   // vmac_xmit_base: adverts go by the interface below
}

// A Notify is what is run at each change of state.
type Notify struct {
	Any, Master, Backup, Fault, Stop, Deleted *Script
	LowerPriority                             *Script // notify_master_rx_lower_pri
	TellDeleted                               bool    // notify_deleted: DELETED is told in the place of FAULT
	Priority                                  bool    // notify_priority_changes
}

// A SyncGroup is a vrrp_sync_group block: instances that are MASTER together.
type SyncGroup struct {
	At              Position
	Name            string
	Members         []string
	Track           Track
	TrackingWeights bool // sync_group_tracking_weight
	Notify          Notify
	SMTPAlert       bool
}
