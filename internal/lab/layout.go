package lab

import "net/netip"

// plan lays out a completed Config.
//
//	router:         client -- router -- front{director, rs1, rs2, rs3}
//	gateway:        client -- router -- front -- director -- back{rs1, rs2, rs3}
//	one-arm:        front{client, director, rs1, rs2, rs3}
//	two-interface:  client -- router -- front -- director -- back{rs1, rs2, rs3} -- router
//	remote:         client -- router -- front{director}, router -- back{rs1, rs2, rs3}
func plan(cfg Config) *Topology {
	t := &Topology{forwards: map[string]bool{}}
	front := frontNet.only(cfg.Family)
	for _, prefix := range front.Prefixes {
		t.VIPs = append(t.VIPs, host(prefix, vipHost))
	}
	switch cfg.Layout {
	case Router:
		t.planRouter(clientsNet.only(cfg.Family), front)
	case Gateway:
		t.planGateway(clientsNet.only(cfg.Family), front, backNet.only(cfg.Family))
	case OneArm:
		t.planOneArm(front, cfg.Mode)
	case TwoInterface:
		t.planTwoInterface(clientsNet.only(cfg.Family), front, backNet.only(cfg.Family))
	case Remote:
		t.planRemote(clientsNet.only(cfg.Family), front, backNet.only(cfg.Family))
	}
	return t
}

func (t *Topology) planRouter(clients, front Network) {
	t.Networks = []Network{clients, front}
	t.Path = "client > router > director > server, server > router > client"
	t.attachRouter(clients, front)
	t.attach(Director, front, directorHost)
	t.attachServers(front)
	t.defaultRoute(Director, front, Gate)
	t.serverRoutes(front, Gate)
}

func (t *Topology) planGateway(clients, front, back Network) {
	t.Networks = []Network{clients, front, back}
	t.Path = "client > router > director > server and back the same way"
	t.attachRouter(clients, front)
	t.attach(Director, front, directorHost)
	t.attach(Director, back, directorHost)
	t.attachServers(back)
	t.forwards[Director] = true
	t.defaultRoute(Director, front, Gate)
	t.serverRoutes(back, Director)
	for _, prefix := range back.Prefixes {
		t.route(Gate, prefix, front, Director)
	}
}

func (t *Topology) planOneArm(front Network, mode Mode) {
	t.Networks = []Network{front}
	t.attach(Client, front, clientHost)
	t.attach(Director, front, directorHost)
	t.attachServers(front)
	if mode == DR {
		t.Path = "client > director > server, server > client"
		return
	}
	t.Path = "client > director > server and back the same way"
	t.forwards[Director] = true
	t.offlink = true
	t.serverRoutes(front, Director)
}

func (t *Topology) planTwoInterface(clients, front, back Network) {
	t.Networks = []Network{clients, front, back}
	t.Path = "client > router > director > server, server > router > client"
	t.attachRouter(clients, front)
	t.attach(Gate, back, routerHost)
	t.attach(Director, front, directorHost)
	t.attach(Director, back, directorHost)
	t.attachServers(back)
	t.defaultRoute(Director, front, Gate)
	t.serverRoutes(back, Gate)
}

func (t *Topology) planRemote(clients, front, back Network) {
	t.Networks = []Network{clients, front, back}
	t.Path = "client > router > director > router > server, server > router > client"
	t.attachRouter(clients, front)
	t.attach(Gate, back, routerHost)
	t.attach(Director, front, directorHost)
	t.attachServers(back)
	t.defaultRoute(Director, front, Gate)
	t.serverRoutes(back, Gate)
}

// attachRouter puts a router between the client's network and the front.
func (t *Topology) attachRouter(clients, front Network) {
	t.attach(Client, clients, clientHost)
	t.attach(Gate, clients, routerHost)
	t.attach(Gate, front, routerHost)
	t.forwards[Gate] = true
	t.defaultRoute(Client, clients, Gate)
}

func (t *Topology) attachServers(n Network) {
	for i, rs := range Servers {
		t.attach(rs, n, serverHost+1+i)
	}
}

func (t *Topology) serverRoutes(n Network, gateway string) {
	for _, rs := range Servers {
		t.defaultRoute(rs, n, gateway)
	}
}

// defaultRoute sends what a node has no other route for to another node of network n.
func (t *Topology) defaultRoute(node string, n Network, gateway string) {
	for _, prefix := range n.Prefixes {
		everything := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if prefix.Addr().Is4() {
			everything = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		t.route(node, everything, n, gateway)
	}
}

func (t *Topology) route(node string, to netip.Prefix, n Network, gateway string) {
	from, _ := t.Port(node, n.Name)
	next, _ := t.Port(gateway, n.Name)
	t.routes = append(t.routes, route{node, from.Interface, to, next.addrLike(to.Addr())})
}
