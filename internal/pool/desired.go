package pool

import (
	"net/netip"

	"drover/internal/config"
	"drover/internal/lvs"
)

// Services gives the services that a pool is to have in the data path, each with its destinations in the order of the
// configuration. Verdicts are those that the state came from.
func Services(vs *config.VirtualServer, is State, verdicts []Verdict) []lvs.ServiceState {
	destinations := destinations(vs, is, verdicts)
	services := make([]lvs.ServiceState, len(vs.Services))
	for i, key := range vs.Services {
		services[i] = lvs.ServiceState{Service: vs.Template}
		services[i].ServiceKey = key
		for _, d := range destinations {
			if lvs.FamilyOf(d.Addr.Addr()) != key.Family && d.Forwarding != lvs.Tunnel {
				continue // a group may hold both families; only tunnels join them
			}
			services[i].Destinations = append(services[i].Destinations, forKey(d, key))
		}
	}
	return services
}

// Via gives the services by which checks reach their servers through the data path (check_via vip): each has a firewall mark
// and one server, also one that is not in the pool.
func Via(vs *config.VirtualServer) []lvs.ServiceState {
	var services []lvs.ServiceState
	for i := range vs.RealServers {
		rs := &vs.RealServers[i]
		if rs.ViaMark == 0 {
			continue
		}
		key := lvs.ServiceKey{Mark: rs.ViaMark, Family: vs.Services[0].Family}
		d := rs.Destination
		d.Weight, d.Upper, d.Lower = 1, 0, 0
		services = append(services, lvs.ServiceState{Service: lvs.Service{ServiceKey: key, Scheduler: "rr"}, Destinations: []lvs.Destination{d}})
	}
	return services
}

// forKey gives a server the port of the service where its own cannot be another: by DR and TUN packets arrive as they
// were sent.
func forKey(d lvs.Destination, key lvs.ServiceKey) lvs.Destination {
	if key.Mark == 0 && d.Forwarding != lvs.Masquerade {
		d.Addr = netip.AddrPortFrom(d.Addr.Addr(), key.Addr.Port())
	}
	return d
}

func destinations(vs *config.VirtualServer, is State, verdicts []Verdict) []lvs.Destination {
	var list []lvs.Destination
	serving := is.Quorum || vs.Sorry == nil
	for i := range vs.RealServers {
		rs := &vs.RealServers[i]
		d := rs.Destination
		switch standing := is.Servers[i]; {
		case standing.Alive && serving:
			d.Weight = standing.Weight
		case rs.Inhibit:
			d.Weight = 0
		default:
			continue
		}
		d.Drain = verdicts[i].Override.Disabled
		list = append(list, d)
	}
	if vs.Sorry == nil {
		return list
	}
	sorry := vs.Sorry.Destination
	if !is.Sorry {
		if !vs.Sorry.Inhibit {
			return list
		}
		sorry.Weight = 0
	}
	return append(list, sorry)
}
