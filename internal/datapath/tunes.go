package datapath

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/cilium/ebpf"
)

// A Tune is a setting of the data path: one of ip_vs's sysctls net.ipv4.vs.* by its name
// (Documentation/networking/ipvs-sysctl.rst), or one of Drover's own.
type Tune struct {
	Name    string `json:"name"`
	Value   int32  `json:"value"`
	Default int32  `json:"default"`
	Least   int32  `json:"least"`
	Most    int32  `json:"most"`
	Unit    string `json:"unit,omitempty"`
	Meaning string `json:"meaning"`

	row   directorTune
	mode  bool   // of a defence: the timer moves it between 1 and 2
	takes string // what Range gives; else it follows from the others
}

// IsSwitch tells whether it is off at 0 and on at any other value, as ip_vs has it.
func (t Tune) IsSwitch() bool { return t.Least == math.MinInt32 }

// Range gives the values that it takes, for people.
func (t Tune) Range() string {
	text := fmt.Sprintf("%d..%d", t.Least, t.Most)
	switch {
	case t.takes != "":
		return t.takes
	case t.IsSwitch():
		text = "0 or not 0"
	}
	if t.Unit != "" {
		text += " " + t.Unit
	}
	return text
}

// Kept gives the value that a save keeps: of a defence that memory has switched on the one that was set.
func (t Tune) Kept() int32 {
	if t.mode && t.Value == 2 {
		return 1
	}
	return t.Value
}

// longestExpiration is what the clock's milliseconds in 32 bits can tell apart, in seconds: 24 days.
const longestExpiration = math.MaxInt32 / 1000

// tunes are all that can be set, in the order of their names.
var tunes = []Tune{
	{
		Name: "am_droprate", row: directorTuneTUNE_AM_DROPRATE, Default: 10, Most: math.MaxInt32,
		Meaning: "with drop_packet 3, each so many-th new connection is dropped; 0: none",
	},
	{
		Name: "amemthresh", row: directorTuneTUNE_AMEMTHRESH, Default: 1024, Most: math.MaxInt32, Unit: "entries",
		Meaning: "fewer free entries of the connection table than this are scarce memory",
	},
	{
		Name: "conn_reuse_mode", row: directorTuneTUNE_CONN_REUSE_MODE, Default: 1, Least: math.MinInt32, Most: math.MaxInt32, takes: "any; 0 to 3 differ",
		Meaning: "SYN on an old connection: 0 its server, 1 a new one after TIME_WAIT or CLOSE, 2 and 3 after FIN_WAIT too",
	},
	{
		Name: "drop_entry", row: directorTuneTUNE_DROP_ENTRY, Most: 3, mode: true,
		Meaning: "end half-open connections: 0 never, 1 when memory is scarce (2: it is now), 3 always",
	},
	{
		Name: "drop_packet", row: directorTuneTUNE_DROP_PACKET, Most: 3, mode: true,
		Meaning: "drop new connections by a rate: 0 never, 1 when memory is scarce (2: it is now), 3 always",
	},
	{
		Name: "expire_nodest_conn", row: directorTuneTUNE_EXPIRE_NODEST_CONN, Least: math.MinInt32, Most: math.MaxInt32,
		Meaning: "end a deleted server's connections, in seconds or at the next packet; 0: drop their packets",
	},
	{
		Name: "expire_quiescent_template", row: directorTuneTUNE_EXPIRE_QUIESCENT_TEMPLATE, Least: math.MinInt32, Most: math.MaxInt32,
		Meaning: "persistence does not keep a client at a server of weight 0",
	},
	{
		Name: "half_open_max", row: directorTuneTUNE_HALF_OPEN_MAX, Default: 50, Least: 1, Most: 100, Unit: "%",
		Meaning: "share of the connection table that half-open connections may have (Drover's own)",
	},
	{
		Name: "lblc_expiration", row: directorTuneTUNE_LBLC_EXPIRATION, Default: 86400, Most: longestExpiration, Unit: "s",
		Meaning: "lblc forgets a destination that was not used for so long",
	},
	{
		Name: "lblcr_expiration", row: directorTuneTUNE_LBLCR_EXPIRATION, Default: 86400, Most: longestExpiration, Unit: "s",
		Meaning: "lblcr takes a server from a set that did not change for so long",
	},
	{
		Name: "pmtu_disc", row: directorTuneTUNE_PMTU_DISC, Default: 1, Least: math.MinInt32, Most: math.MaxInt32,
		Meaning: "tunnels copy DF, and clients are told of the path MTU; 0: routers may fragment",
	},
	{
		Name: "run_estimation", row: directorTuneTUNE_RUN_ESTIMATION, Default: 1, Least: math.MinInt32, Most: math.MaxInt32,
		Meaning: "estimate the rates of ipvsadm --rate; 0: they stay as they are",
	},
	{
		Name: "schedule_icmp", row: directorTuneTUNE_SCHEDULE_ICMP, Least: math.MinInt32, Most: math.MaxInt32,
		Meaning: "schedule a server for an ICMP error of no connection that quotes a VIP's packet",
	},
	{
		Name: "secure_tcp", row: directorTuneTUNE_SECURE_TCP, Most: 3, mode: true,
		Meaning: "states that forged packets do not move: 0 never, 1 when memory is scarce (2: it is now), 3 always",
	},
	{
		Name: "sloppy_tcp", row: directorTuneTUNE_SLOPPY_TCP, Least: math.MinInt32, Most: math.MaxInt32,
		Meaning: "any TCP packet but RST may begin a connection; 0: a SYN alone",
	},
}

func setDefaultTunes(c *directorControl) {
	for _, tune := range tunes {
		c.Tune[tune.row] = uint32(tune.Default)
	}
	c.Tunes = uint32(directorTuneTUNES)
}

// addTunes sets the defaults of those that an older version's maps do not have.
func addTunes(controls *ebpf.Map) error {
	mapped, err := mapArray[directorControl](controls)
	if err != nil {
		return err
	}
	c := mapped.at(0)
	for _, tune := range tunes {
		if uint32(tune.row) >= c.Tunes {
			atomic.StoreUint32(&c.Tune[tune.row], uint32(tune.Default))
		}
	}
	atomic.StoreUint32(&c.Tunes, max(c.Tunes, uint32(directorTuneTUNES)))
	return mapped.close()
}

// Tunes gives all of them, in the order of their names.
func (t *Table) Tunes() []Tune {
	all := slices.Clone(tunes)
	for i := range all {
		all[i].Value = int32(atomic.LoadUint32(&t.control.at(0).Tune[all[i].row]))
	}
	return all
}

// DefaultTunes are those of a fresh data path.
func DefaultTunes() []Tune {
	all := slices.Clone(tunes)
	for i := range all {
		all[i].Value = all[i].Default
	}
	return all
}

// FindTune gives one by its name, with its default. Errors: *UnknownTuneError, *NoTuneError.
func FindTune(name string) (Tune, error) {
	for _, tune := range DefaultTunes() {
		if tune.Name == name {
			return tune, nil
		}
	}
	if i := slices.IndexFunc(NoTunes, func(n NoTuneError) bool { return n.Name == name }); i >= 0 {
		return Tune{}, &NoTunes[i]
	}
	return Tune{}, &UnknownTuneError{name, nearestTune(name)}
}

// ParseTune reads a value. Errors: those of FindTune, *TuneRangeError.
func ParseTune(name, value string) (Tune, error) {
	tune, err := FindTune(name)
	if err != nil {
		return tune, err
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || int32(n) < tune.Least || int32(n) > tune.Most {
		return tune, &TuneRangeError{tune, value}
	}
	tune.Value = int32(n)
	return tune, nil
}

// SetTunes sets values as ParseTune has read them.
func (t *Table) SetTunes(to ...Tune) error {
	return t.change(func(tx *transaction) error {
		for _, tune := range to {
			tx.tunes[tune.row] = tune.Value
		}
		return nil
	})
}

// ResetTunes sets all to their defaults.
func (t *Table) ResetTunes() error { return t.SetTunes(DefaultTunes()...) }

// setTunes puts a transaction's values in force.
func (t *Table) setTunes(to map[directorTune]int32) {
	for _, row := range slices.Sorted(maps.Keys(to)) {
		atomic.StoreUint32(&t.control.at(0).Tune[row], uint32(to[row]))
	}
}
