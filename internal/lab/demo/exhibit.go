package demo

import (
	"bytes"
	"fmt"
	"slices"

	"drover/internal/lab"
	"drover/internal/lab/capture"
)

// exhibits are what a person is shown of the recording.
func (e *evidence) exhibits() []Event {
	var events []Event
	if c, ok := e.show(e.requests, "GET /", "The packet with the request"); ok {
		events = append(events, c)
	}
	if e.mode != lab.NAT {
		return append(events, e.sightings())
	}
	if c, ok := e.show(e.replies, "HTTP/1.1 ", "The packet with the reply"); ok {
		events = append(events, c)
	}
	return events
}

// show gives the first crossing with that payload.
func (e *evidence) show(c crossings, payload, title string) (Crossing, bool) {
	i := slices.IndexFunc(c.pairs, func(p pair) bool { return bytes.HasPrefix(p.before.Payload, []byte(payload)) })
	if i < 0 {
		return Crossing{}, false
	}
	before, after := c.pairs[i].before, c.pairs[i].after
	changed := capture.Differences(before, after)
	shown := Crossing{
		Packet:      fmt.Sprintf("%s, %d bytes, before and after the director", title, len(before.Data)),
		Before:      e.owner(before.From) + " > " + e.owner(before.To),
		After:       e.owner(after.From) + " > " + e.owner(after.To),
		Rest:        before.Rest(),
		RestChanged: slices.Contains(changed, capture.Other),
	}
	for _, f := range before.Fields {
		g, _ := after.Field(f.Name)
		shown.Rows = append(shown.Rows, CrossingRow{f.Name, f.Text, g.Text, slices.Contains(changed, f.Name)})
	}
	if t := after.Tunnel; t != nil {
		var headers []CrossingRow
		for _, header := range t.Headers() {
			headers = append(headers, CrossingRow{header[0], "", header[1], true})
		}
		const macs = 2 // in front of what the tunnel adds
		shown.Rows = slices.Insert(shown.Rows, macs, headers...)
	}
	return shown, true
}

func (e *evidence) sightings() Sightings {
	s := Sightings{Source: e.service.String()}
	for _, node := range append(slices.Clone(lab.Servers), lab.Gate, lab.Director) {
		s.Ports = append(s.Ports, Sighting{node, len(e.fromService(node))})
	}
	return s
}
