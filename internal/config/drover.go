package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
)

// droverRootRows is what keepalived has no word for.
var droverRootRows = []row{
	{"drover", Acted, "Drover's own", func(b *builder, s *Statement) { opens(droverBlock)(b, s) }},
}

func drover(b *builder) *Drover { return &b.config.Drover }

var droverBlock = &blockKind{name: "drover", rows: []row{
	{"mass_failure_guard", Acted, "percent of all real servers that must fail at once for the pools to stay as they were", func(b *builder, s *Statement) {
		var unused int
		b.weightOrPercent(s, 1, &unused, &drover(b).MassFailureGuard)
		if unused > 0 {
			drover(b).MassFailureGuard = min(unused, 100)
		}
	}},
	{"metrics", Acted, "HOST:PORT of the loopback, for Prometheus", func(b *builder, s *Statement) {
		address := b.text(s)
		host, _, err := net.SplitHostPort(address)
		ip, bad := netip.ParseAddr(host)
		if err != nil || host != "localhost" && (bad != nil || !ip.IsLoopback()) {
			b.wrong(s, "%q: want HOST:PORT with an address of the loopback", address)
			return
		}
		drover(b).MetricsAddress = address
	}},
	{"webhook", Acted, "KIND URL [SECRET]: generic, dingtalk, wecom or feishu", (*builder).readWebhook},
	{"interface", Acted, "to attach the data path to; without it they are chosen", func(b *builder, s *Statement) {
		drover(b).Interfaces = append(drover(b).Interfaces, s.Values()...)
	}},
}}

var webhookKinds = []string{"generic", "dingtalk", "wecom", "feishu"}

func (b *builder) readWebhook(s *Statement) {
	values := s.Values()
	if len(values) < 2 || len(values) > 3 || !slices.Contains(webhookKinds, values[0]) {
		b.wrong(s, "want %s, and a URL", joined(webhookKinds))
		return
	}
	u, err := url.Parse(values[1])
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		b.wrong(s, "%q: want a URL that begins with http:// or https://", values[1])
		return
	}
	w := Webhook{At: s.At, Kind: values[0], URL: values[1]}
	if len(values) == 3 {
		w.Secret = values[2]
	}
	drover(b).Webhooks = append(drover(b).Webhooks, w)
}
