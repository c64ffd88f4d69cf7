//go:build bench

package kernel

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The namespaces beside the directors': frames are made in one and counted in the other.
const (
	clientsSide = "bench-clients"
	serversSide = "bench-servers"
)

// The addresses: of the client, and of the servers behind each VIP. All next hops are permanent.
var (
	client     = netip.MustParseAddr("203.0.113.10")
	serversNet = netip.MustParsePrefix("198.51.100.0/24")
	frontMAC   = net.HardwareAddr{2, 0, 0, 0, 2, 1}
	routerMAC  = net.HardwareAddr{2, 0, 0, 0, 2, 0xfe}
)

// servers is how many there are behind each VIP: 198.51.100.2 and so on.
const servers = 4

// A mode is a forwarding method, with a VIP of its own.
type mode struct {
	option  string // ipvsadm's
	vip     netip.Addr
	arrives framesArrival
}

var (
	dr  = mode{"-g", netip.MustParseAddr("192.0.2.100"), framesArrivalARRIVED_ROUTED}
	nat = mode{"-m", netip.MustParseAddr("192.0.2.101"), framesArrivalARRIVED_MASQUERADED}
	tun = mode{"-i", netip.MustParseAddr("192.0.2.102"), framesArrivalARRIVED_TUNNELLED}
)

// A director is one of those that are compared, in a namespace of its own.
type director struct {
	t       *testing.T
	name    string
	ipvsadm []string // the command
}

// newDirector makes one between the clients' and the servers' namespaces:
//
//	clients: NAME -- front (192.0.2.1, the VIPs) DIRECTOR back (198.51.100.1) -- NAME: servers
func newDirector(t *testing.T, name string, ipvsadm ...string) *director {
	d := &director{t: t, name: name, ipvsadm: ipvsadm}
	addNamespace(t, d.namespace())
	d.attach("front", clientsSide)
	d.attach("back", serversSide)
	commands := []string{
		fmt.Sprintf("link set front address %v up", frontMAC),
		"link set back up",
		"address add 192.0.2.1/24 dev front",
		"address add 198.51.100.1/24 dev back",
		fmt.Sprintf("neighbour add 192.0.2.254 lladdr %v dev front nud permanent", routerMAC),
		"route add 203.0.113.0/24 via 192.0.2.254",
	}
	for _, m := range []mode{dr, nat, tun} {
		commands = append(commands, fmt.Sprintf("address add %v/32 dev front", m.vip))
	}
	for host := range servers {
		commands = append(commands, fmt.Sprintf("neighbour add %v lladdr 02:00:00:00:03:%02x dev back nud permanent",
			server(host), 2+host))
	}
	batch := strings.NewReader(strings.Join(commands, "\n") + "\n")
	_, err := execute(t.Context(), batch, "ip", "-n", d.namespace(), "-batch", "-")
	must(t, err)
	d.run(nil, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	return d
}

// attach gives the director a device whose other end, by the director's name, is on another side.
func (d *director) attach(device, side string) {
	d.t.Helper()
	ip(d.t, "link add %s netns %s type veth peer name %s netns %s", d.name, side, device, d.namespace())
	ip(d.t, "-n %s link set %s up", side, d.name)
}

func (d *director) namespace() string { return "bench-" + d.name }

func server(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(2 + i)}) }

// balance makes the mode's service. The error is what ipvsadm wrote, where it refuses.
func (d *director) balance(m mode) error {
	service := m.vip.String() + ":80"
	d.admin(nil, "-A", "-t", service, "-s", "rr")
	for i := range servers {
		if _, err := d.try(nil, append(d.ipvsadm, "-a", "-t", service, "-r", server(i).String()+":80", m.option)...); err != nil {
			return err
		}
	}
	return nil
}

// admin runs the director's ipvsadm.
func (d *director) admin(stdin io.Reader, args ...string) (stdout []byte) {
	d.t.Helper()
	return d.run(stdin, append(d.ipvsadm, args...)...)
}

// run runs a command in the director's namespace.
func (d *director) run(stdin io.Reader, command ...string) (stdout []byte) {
	d.t.Helper()
	stdout, err := d.try(stdin, command...)
	if err != nil {
		d.t.Fatal(err)
	}
	return stdout
}

// try bounds it in time. Not by the test's context: some commands are run when it has ended.
func (d *director) try(stdin io.Reader, command ...string) (stdout []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	return execute(ctx, stdin, append([]string{"ip", "netns", "exec", d.namespace()}, command...)...)
}

func addNamespace(t *testing.T, name string) {
	t.Helper()
	ip(t, "netns add %s", name)
	t.Cleanup(func() {
		// Not the test's context: it has ended by now.
		if _, err := execute(context.Background(), nil, "ip", "netns", "delete", name); err != nil {
			t.Error(err)
		}
	})
}

// ip runs ip(8).
func ip(t *testing.T, format string, args ...any) {
	t.Helper()
	if _, err := execute(t.Context(), nil, append([]string{"ip"}, strings.Fields(fmt.Sprintf(format, args...))...)...); err != nil {
		t.Fatal(err)
	}
}

func execute(ctx context.Context, stdin io.Reader, command ...string) (stdout []byte, err error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}
