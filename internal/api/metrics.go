package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"drover/internal/director"
)

// Each metric has the prefix drover_. None has a client's address as a label.
var (
	buildInfo     = metric("build_info", "1, with the version.", "version")
	reloadOK      = metric("config_last_reload_successful", "1 if the last reload was taken, or none was asked for.")
	reloadTime    = metric("config_last_reload_timestamp_seconds", "When the configuration was last read again.")
	rejected      = metric("config_reloads_rejected_total", "Reloads that were refused.")
	dataPathOK    = metric("datapath_in_sync", "1 if the data path has what the director wants.")
	guardHolding  = metric("mass_failure_guard_holding", "1 while the pools are kept as they were, because most servers fail at once.")
	checksAsked   = metric("checks", "Checks, each counted once.")
	virtualUp     = metric("virtual_server_quorum", "1 if the virtual server has its quorum.", "service")
	virtualWeight = metric("virtual_server_weight", "Weights of the real servers that are alive.", "service")
	sorryServes   = metric("sorry_server_serving", "1 while the sorry server stands in.", "service")
	serverUp      = metric("real_server_up", "1 if none of the server's checks fails.", "service", "rs")
	serverWeight  = metric("real_server_weight", "Weight in force.", "service", "rs")
	overridden    = metric("real_server_override", "1 while an operator's override is in force.", "service", "rs")
	overrideSince = metric("real_server_override_timestamp_seconds", "When the override was set.", "service", "rs")
	checkUp       = metric("check_up", "1 if the check holds.", "service", "rs", "check", "target")
	checkTook     = metric("check_last_duration_seconds", "From the first packet of the last question to its verdict.", "service", "rs", "check", "target")
	routerState   = metric("vrrp_state", "1 for the state that the virtual router is in.", "instance", "interface", "vrid", "state")
	routerPrio    = metric("vrrp_priority", "The virtual router's priority, with what trackers add.", "instance", "interface", "vrid")
	routerCounts  = metric("vrrp_events_total", "Adverts received and sent, changes of MASTER, and adverts that are wrong by what is wrong.", "instance", "interface", "vrid", "event")
	checkFailures = metric("check_consecutive_failures", "Failures one after the other.", "service", "rs", "check", "target")
)

func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("drover_"+name, help, labels, nil)
}

// A collector gives a snapshot's metrics.
type collector struct {
	snapshot *director.Snapshot
	version  string
}

// Describe gives nothing: the metrics are as many as the servers.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect gives them all.
func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	s := c.snapshot
	gauge(buildInfo, 1, c.version)
	gauge(reloadOK, truth(s.Reload.Error == ""))
	if !s.Reload.At.IsZero() {
		gauge(reloadTime, float64(s.Reload.At.Unix()))
	}
	out <- prometheus.MustNewConstMetric(rejected, prometheus.CounterValue, float64(s.Reload.Rejected))
	gauge(dataPathOK, truth(s.DataPathError == ""))
	gauge(guardHolding, truth(s.Holding))
	gauge(checksAsked, float64(s.ChecksRun))
	for i := range s.VirtualServers {
		v := &s.VirtualServers[i]
		gauge(virtualUp, truth(v.Quorum), v.Name)
		gauge(virtualWeight, float64(v.Sum), v.Name)
		if v.Sorry != nil {
			gauge(sorryServes, truth(v.Sorry.Serves), v.Name)
		}
		for j := range v.Servers {
			c.server(gauge, v.Name, &v.Servers[j])
		}
	}
	for i := range s.VRRP {
		r := &s.VRRP[i]
		labels := []string{r.Name, r.Interface, strconv.Itoa(int(r.VRID))}
		for _, state := range []string{"INIT", "BACKUP", "MASTER", "FAULT"} {
			gauge(routerState, truth(r.State == state), append(slices.Clone(labels), strings.ToLower(state))...)
		}
		gauge(routerPrio, float64(r.Priority), labels...)
		for event, n := range r.Counters {
			out <- prometheus.MustNewConstMetric(routerCounts, prometheus.CounterValue, float64(n), append(slices.Clone(labels), event)...)
		}
	}
}

func (collector) server(gauge func(*prometheus.Desc, float64, ...string), service string, s *director.ServerStatus) {
	gauge(serverUp, truth(s.Alive), service, s.Name)
	gauge(serverWeight, float64(s.Weight), service, s.Name)
	gauge(overridden, truth(s.Override != nil), service, s.Name)
	if s.Override != nil {
		gauge(overrideSince, float64(s.Override.At.Unix()), service, s.Name)
	}
	told := map[[2]string]bool{}
	for k := range s.Checks {
		check := &s.Checks[k]
		labels := [2]string{string(check.Kind), check.Target.String()}
		if check.What != "" {
			labels[1] += " " + check.What
		}
		if told[labels] {
			continue // a metric has each set of labels once
		}
		told[labels] = true
		gauge(checkUp, truth(check.Up), service, s.Name, labels[0], labels[1])
		gauge(checkFailures, float64(check.Failures), service, s.Name, labels[0], labels[1])
		if check.HasRun {
			gauge(checkTook, check.Took.Seconds(), service, s.Name, labels[0], labels[1])
		}
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) error {
	snapshot, err := s.Director.Snapshot(r.Context())
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(collector{snapshot, s.Version}); err != nil {
		return err
	}
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}

// MetricsHandler answers GET /metrics alone, for a port that others may reach.
func (s *Server) MetricsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if err := s.getMetrics(w, r); err != nil {
			fail(w, err)
		}
	})
	return mux
}
