package router

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"drover/internal/config"
	"drover/internal/vrrp"
)

// dumped is a virtual router as keepalived's JSON has it, with its names and their order.
type dumped struct {
	Data  dumpedData  `json:"data"`
	Stats dumpedStats `json:"stats"`
}

type dumpedData struct {
	Name              string   `json:"iname"`
	DontTrackPrimary  int      `json:"dont_track_primary"`
	SkipCheckAddr     int      `json:"skip_check_adv_addr"`
	Strict            int      `json:"strict_mode"`
	VMACInterface     string   `json:"vmac_ifname"`
	Interface         string   `json:"ifp_ifname"`
	MasterPriority    int      `json:"master_priority"`
	LastTransition    float64  `json:"last_transition"`
	GARPDelay         float64  `json:"garp_delay"`
	GARPRefresh       float64  `json:"garp_refresh"`
	GARPRepeat        int      `json:"garp_rep"`
	GARPRefreshRepeat int      `json:"garp_refresh_rep"`
	GARPLowerDelay    float64  `json:"garp_lower_prio_delay"`
	GARPLowerRepeat   int      `json:"garp_lower_prio_rep"`
	LowerNoAdvert     int      `json:"lower_prio_no_advert"`
	HigherSend        int      `json:"higher_prio_send_advert"`
	VRID              int      `json:"vrid"`
	BasePriority      int      `json:"base_priority"`
	Priority          int      `json:"effective_priority"`
	VIPsSet           bool     `json:"vipset"`
	Promote           bool     `json:"promote_secondaries"`
	Advert            float64  `json:"adver_int"`
	MasterAdvert      float64  `json:"master_adver_int"`
	Accept            int      `json:"accept"`
	NoPreempt         bool     `json:"nopreempt"`
	PreemptDelay      float64  `json:"preempt_delay"`
	State             int      `json:"state"`
	WantState         int      `json:"wantstate"`
	Version           int      `json:"version"`
	SMTPAlert         bool     `json:"smtp_alert"`
	NotifyDeleted     bool     `json:"notify_deleted"`
	VIPs              []string `json:"vips,omitempty"`
	Excluded          []string `json:"evips,omitempty"`
	Scripts           []string `json:"track_script,omitempty"`
	AuthType          int      `json:"auth_type"`
	AuthData          string   `json:"auth_data,omitempty"`
}

type dumpedStats struct {
	Received       uint64 `json:"advert_rcvd"`
	Sent           uint64 `json:"advert_sent"`
	BecameMaster   uint64 `json:"become_master"`
	ReleasedMaster uint64 `json:"release_master"`
	Length         uint64 `json:"packet_len_err"`
	Interval       uint64 `json:"advert_interval_err"`
	TTL            uint64 `json:"ip_ttl_err"`
	Type           uint64 `json:"invalid_type_rcvd"`
	AddressList    uint64 `json:"addr_list_err"`
	AuthType       uint64 `json:"invalid_authtype"`
	AuthMismatch   uint64 `json:"authtype_mismatch"`
	AuthFailure    uint64 `json:"auth_failure"`
	ZeroReceived   uint64 `json:"pri_zero_rcvd"`
	ZeroSent       uint64 `json:"pri_zero_sent"`
}

// WriteJSON writes what keepalived writes at SIGRTMIN+2, for the exporters that read it.
func (r *Router) WriteJSON(w io.Writer) error {
	all := []dumped{}
	r.each(func(in *config.Instance, s *vrrp.Status, scripts []string) {
		all = append(all, dumped{dataOf(in, s, scripts), statsOf(&s.Stats)})
	})
	return json.NewEncoder(w).Encode(all)
}

// each calls f for each virtual router, with the programs that it looks at.
func (r *Router) each(f func(*config.Instance, *vrrp.Status, []string)) {
	states := r.runner.Status()
	r.mu.Lock()
	instances := r.instances
	r.mu.Unlock()
	for i := range states {
		at := slices.IndexFunc(instances, func(in config.Instance) bool { return in.Name == states[i].Name })
		if at >= 0 {
			f(&instances[at], &states[i], r.trackers.programs(&instances[at]))
		}
	}
}

func dataOf(in *config.Instance, s *vrrp.Status, scripts []string) dumpedData {
	number := map[bool]int{true: 1}
	d := dumpedData{
		Name: in.Name, DontTrackPrimary: number[in.DontTrackDevice], SkipCheckAddr: number[in.SkipCheckAddr], Strict: number[in.Strict], Interface: in.Interface,
		LastTransition: float64(s.Since.UnixMicro()) / 1e6, GARPDelay: in.GARP.Delay.Seconds(), GARPRefresh: in.GARP.Refresh.Seconds(), GARPRepeat: in.GARP.Repeat,
		GARPRefreshRepeat: in.GARP.RefreshRepeat, GARPLowerDelay: in.GARP.LowerDelay.Seconds(), GARPLowerRepeat: in.GARP.LowerRepeat, LowerNoAdvert: number[in.LowerNoAdvert],
		HigherSend: number[in.HigherSend], VRID: in.VRID, BasePriority: in.Priority, Priority: s.Priority, VIPsSet: s.State == vrrp.Master, Promote: in.Promote,
		Advert: in.Advert.Seconds(), MasterAdvert: s.Rival.Interval.Seconds(), Accept: number[!in.NoAccept], NoPreempt: in.NoPreempt, PreemptDelay: in.PreemptDelay.Seconds(),
		State: int(s.State), WantState: int(s.State), Version: in.Version, SMTPAlert: in.SMTPAlert, NotifyDeleted: in.Notify.TellDeleted, Scripts: scripts,
	}
	if s.State == vrrp.Backup {
		d.MasterPriority = int(s.Rival.Priority)
	}
	if in.Auth != nil {
		d.AuthType, d.AuthData = int(vrrp.AuthPass), in.Auth.Password
		if in.Auth.AH {
			d.AuthType = int(vrrp.AuthAH)
		}
	}
	for _, list := range []struct {
		of []config.VIP
		to *[]string
	}{{in.VIPs, &d.VIPs}, {in.Excluded, &d.Excluded}} {
		for _, v := range list.of {
			*list.to = append(*list.to, dumpedVIP(in, &v, s.State == vrrp.Master))
		}
	}
	return d
}

func dumpedVIP(in *config.Instance, v *config.VIP, set bool) string {
	text := v.Prefix.String()
	if v.Prefix.IsSingleIP() {
		text = v.Prefix.Addr().String()
	}
	device, scope := v.Device, map[int]string{0: "global", 200: "site", 253: "link", 254: "host"}[v.Scope]
	if device == "" {
		device = in.Interface
	}
	text += " dev " + device + " scope " + scope
	if v.Label != "" {
		text += " label " + v.Label
	}
	if set {
		text += " set"
	}
	return text
}

func statsOf(s *vrrp.Stats) dumpedStats {
	return dumpedStats{
		Received: s.Received, Sent: s.Sent, BecameMaster: s.BecameMaster, ReleasedMaster: s.ReleasedMaster, Length: s.Faults[vrrp.FaultLength],
		Interval: s.Faults[vrrp.FaultInterval], TTL: s.Faults[vrrp.FaultTTL], Type: s.Faults[vrrp.FaultType], AddressList: s.Faults[vrrp.FaultAddressList],
		AuthType: s.Faults[vrrp.FaultAuthType], AuthMismatch: s.Faults[vrrp.FaultAuthMatch], AuthFailure: s.Faults[vrrp.FaultAuth],
		ZeroReceived: s.ZeroReceived, ZeroSent: s.ZeroSent,
	}
}

// WriteStats writes what keepalived writes at SIGUSR2.
func (r *Router) WriteStats(w io.Writer) error {
	var out strings.Builder
	r.each(func(in *config.Instance, s *vrrp.Status, _ []string) {
		n := statsOf(&s.Stats)
		fmt.Fprintf(&out, "VRRP Instance: %s\n  Advertisements:\n    Received: %d\n    Sent: %d\n  Became master: %d\n  Released master: %d\n", in.Name, n.Received, n.Sent, n.BecameMaster, n.ReleasedMaster)
		fmt.Fprintf(&out, "  Packet Errors:\n    Length: %d\n    TTL: %d\n    Invalid Type: %d\n    Advertisement Interval: %d\n    Address List: %d\n", n.Length, n.TTL, n.Type, n.Interval, n.AddressList)
		fmt.Fprintf(&out, "  Authentication Errors:\n    Invalid Type: %d\n    Type Mismatch: %d\n    Failure: %d\n", n.AuthType, n.AuthMismatch, n.AuthFailure)
		fmt.Fprintf(&out, "  Priority Zero:\n    Received: %d\n    Sent: %d\n", n.ZeroReceived, n.ZeroSent)
	})
	_, err := io.WriteString(w, out.String())
	return err
}

// programs gives the programs of the scripts that an instance looks at, as keepalived writes them.
func (t *trackers) programs(in *config.Instance) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []string
	for _, tracked := range in.Track.Scripts {
		for _, s := range t.config.VRRP.Scripts {
			if s.Name == tracked.Name && s.Script != nil {
				all = append(all, "'"+strings.Join(s.Script.Command, "' '")+"'")
			}
		}
	}
	return all
}
