package lab

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

var update = flag.Bool("update", false, "write the golden files")

// TestPlan holds the drawing of each layout against testdata/*.txt.
func TestPlan(t *testing.T) {
	for mode, fitting := range layouts {
		for _, layout := range fitting {
			t.Run(fmt.Sprintf("%s-%s", mode, layout), func(t *testing.T) {
				cfg, err := Config{Mode: mode, Layout: layout}.complete()
				if err != nil {
					t.Fatal(err)
				}
				var text strings.Builder
				topology := plan(cfg)
				if err := (Status{Config: cfg, Topology: topology}).Draw(&text); err != nil {
					t.Fatal(err)
				}
				for _, r := range topology.routes {
					fmt.Fprintf(&text, "route %s %s: %v via %v\n", r.node, r.iface, r.to, r.via)
				}
				golden := filepath.Join("testdata", fmt.Sprintf("%s-%s.txt", mode, layout))
				if *update {
					if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), text.String()); diff != "" {
					t.Errorf("drawing (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"name", Config{Name: "../x"}, `wrong lab configuration: name "../x": want up to 32 lower-case letters, digits and hyphens`},
		{"mode", Config{Mode: "full"}, `wrong lab configuration: mode "full": want dr, nat or tun`},
		{"layout of the other mode", Config{Mode: NAT, Layout: Router}, `wrong lab configuration: layout "router": mode nat has gateway and one-arm`},
		{"layout", Config{Layout: "ring"}, `wrong lab configuration: layout "ring": mode dr has router, one-arm and two-interface`},
		{"family", Config{Family: "v5"}, `wrong lab configuration: family "v5": want v4, v6 or both`},
		{"MTU too large", Config{MTU: 9001}, `wrong lab configuration: MTU 9001: want 1280 to 9000`},
		{"MTU too small", Config{MTU: 67, Family: V4}, `wrong lab configuration: MTU 67: want 68 to 9000`},
		{"server", Config{Server: "apache"}, `wrong lab configuration: server "apache": want drover or nginx`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Up(t.Context(), test.cfg)
			if !errors.Is(err, ErrConfig) {
				t.Fatalf("Up: %v, want ErrConfig", err)
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLayouts brings each layout up and lets the client ask every server by its own address; the
// next hops of a request and of a reply are the ones that the layout draws.
func TestLayouts(t *testing.T) {
	for _, test := range []struct {
		cfg            Config
		request, reply string // next hops to the server and to the client; "" is the link itself
	}{
		{Config{Mode: DR, Layout: Router}, Gate, Gate},
		{Config{Mode: DR, Layout: OneArm, MTU: 9000}, "", ""},
		{Config{Mode: DR, Layout: TwoInterface}, Gate, Gate},
		{Config{Mode: NAT, Layout: Gateway}, Gate, Director},
		{Config{Mode: TUN, Layout: Remote}, Gate, Gate},
		{Config{Mode: TUN, Layout: Router, Family: V6}, Gate, Gate},
		{Config{Mode: NAT, Layout: OneArm}, "", Director},
		{Config{Mode: DR, Family: V4}, Gate, Gate},
		{Config{Mode: NAT, Family: V6}, Gate, Director},
	} {
		t.Run(strings.TrimSpace(fmt.Sprintf("%s %s %s", test.cfg.Mode, test.cfg.Layout, test.cfg.Family)), func(t *testing.T) {
			l := upLab(t, test.cfg)
			for _, rs := range Servers {
				for _, family := range []Family{V4, V6} {
					addr := l.Topology.Addr(rs, family)
					if !addr.IsValid() {
						if l.Config.Family == Both || l.Config.Family == family {
							t.Fatalf("%s has no %s address", rs, family)
						}
						continue
					}
					askServer(t, l, rs, addr)
					client := l.Topology.Addr(Client, family)
					checkNextHop(t, l, Client, addr, test.request)
					checkNextHop(t, l, rs, client, test.reply)
				}
			}
			checkMTU(t, l)
		})
	}
}

// askServer asks on both HTTP ports and over UDP, from the client.
func askServer(t *testing.T, l *Lab, rs string, addr netip.Addr) {
	t.Helper()
	for _, port := range tcpPorts {
		url := fmt.Sprintf("http://%s/", net.JoinHostPort(addr.String(), fmt.Sprint(port)))
		got, err := l.Exec(t.Context(), Client, "curl", "-sSg", "--max-time", "5", url)
		if err != nil {
			t.Fatal(err)
		}
		client := l.Topology.Addr(Client, familyOf(addr))
		want := fmt.Sprintf("%s: client %s", rs, strings.TrimSuffix(netip.AddrPortFrom(client, 0).String(), "0"))
		if !strings.HasPrefix(string(got), want) {
			t.Errorf("%s answered %q, want it to begin with %q", url, got, want)
		}
	}
	if got, want := askUDP(t, l, addr), rs+" hello"; got != want {
		t.Errorf("UDP to %v answered %q, want %q", addr, got, want)
	}
}

// askUDP sends "hello" from the client. The socket takes an answer only from the address asked.
func askUDP(t *testing.T, l *Lab, addr netip.Addr) string {
	t.Helper()
	answer := make([]byte, 100)
	err := l.Do(Client, func() error {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, udpPort)))
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return err
		}
		if _, err := conn.Write([]byte("hello")); err != nil {
			return err
		}
		n, err := conn.Read(answer)
		answer = answer[:n]
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func familyOf(a netip.Addr) Family {
	if a.Is4() {
		return V4
	}
	return V6
}

// checkNextHop asks the node's routing table for the way to an address.
func checkNextHop(t *testing.T, l *Lab, node string, to netip.Addr, want string) {
	t.Helper()
	var hop netip.Addr
	err := l.Do(node, func() error {
		routes, err := netlink.RouteGet(to.AsSlice())
		if err == nil {
			hop, _ = netip.AddrFromSlice(routes[0].Gw)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantHops := []netip.Addr{{}}
	if want != "" {
		wantHops = nil
		for _, p := range l.Topology.Ports {
			if p.Node == want {
				wantHops = append(wantHops, p.addrLike(to))
			}
		}
	}
	for _, w := range wantHops {
		if w == hop.Unmap() {
			return
		}
	}
	t.Errorf("next hop from %s to %v is %v, want one of %v", node, to, hop, wantHops)
}

func checkMTU(t *testing.T, l *Lab) {
	t.Helper()
	for _, p := range l.Topology.Ports {
		err := l.Do(p.Node, func() error {
			link, err := netlink.LinkByName(p.Interface)
			if err == nil && link.Attrs().MTU != l.Config.MTU {
				t.Errorf("MTU of %s %s is %d, want %d", p.Node, p.Interface, link.Attrs().MTU, l.Config.MTU)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
