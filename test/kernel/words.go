package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"drover/internal/lvs"
)

// serviceWords gives the switches that name a service.
func serviceWords(k lvs.ServiceKey) string {
	switch {
	case k.Mark != 0 && k.Family == lvs.IPv6:
		return fmt.Sprintf("-f %d -6", k.Mark)
	case k.Mark != 0:
		return fmt.Sprintf("-f %d", k.Mark)
	case k.Protocol == lvs.UDP:
		return "-u " + k.Addr.String()
	case k.Protocol == lvs.SCTP:
		return "--sctp-service " + k.Addr.String()
	}
	return "-t " + k.Addr.String()
}

// service gives the switches of any service.
func (c *commander) service() string {
	if c.chance(6) {
		return words("-f", c.one("1", "2", "4294967295", "0", c.number()), c.one("", "-6"))
	}
	address := c.one("192.0.2.1", "192.0.2.2", "192.0.2.3", "[2001:db8:9::1]", "[2001:db8:9::2]")
	if c.chance(5) {
		address = c.one("localhost", "192.0.2.999", "192.0.2", "2001:db8:9::1", "[2001:db8:9::1", "[]", "", "nosuchname", "0.0.0.0",
			"255.255.255.255", "192.0.2.1:", "192.0.02.1", "0xc0.0.2.1", "3221225985", "[::ffff:192.0.2.1]")
	}
	port := ":" + c.one("80", "80", "443", "8080", "53")
	if c.chance(8) {
		port = c.one("", ":0", ":", ":http", ":https", ":domain", ":nosuch", ":"+c.number(), ":65535", ": 80")
	}
	return c.one("-t ", "-t ", "-t ", "-t ", "-u ", "-u ", "--tcp-service=", "--udp-service ", "--sctp-service ") + address + port
}

// someService is mostly one that was added.
func (c *commander) someService() string {
	if len(c.services) == 0 || c.chance(10) {
		return c.service()
	}
	return c.one(c.services...)
}

var schedulers = []string{"rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "fo", "ovf", "lblc", "lblcr", "twos"}

func (c *commander) serviceOptions() string {
	var all []string
	scheduler := c.one(schedulers...)
	if c.chance(90) {
		all = append(all, c.one("-s ", "--scheduler ")+scheduler)
	}
	if c.chance(3) {
		all = append(all, "-s "+c.one("nosuch", "", "RR", "averyverylongschedulername"))
	}
	if c.chance(15) {
		all = append(all, "-b "+c.one("sh-port", "sh-fallback", "mh-port", "mh-fallback", "flag-1", "flag-2,flag-3",
			"sh-port,sh-fallback", "mh-port,flag-3", "nosuch", "flag-1,,flag-1", ","))
	} else if scheduler == "sh" || scheduler == "mh" {
		all = append(all, c.one("", "-b "+scheduler+"-port", "-b "+scheduler+"-fallback,"+scheduler+"-port"))
	}
	for _, o := range []string{"-p", "-p 100", "-p " + c.number(), "-M 255.255.255.0", "-M " + c.number(), "-M 64", "-o", "--ops", "--pe sip", "--pe nosuch"} {
		if c.chance(4) {
			all = append(all, o)
		}
	}
	return words(all...)
}

// server gives the address of a real server. Each family's addresses are mostly used with its own services.
func (c *commander) server() string {
	v6 := len(c.services) > 0 && strings.Contains(c.services[len(c.services)-1], "[")
	switch {
	case c.chance(6):
		return c.one("0.0.0.0:80", "224.0.0.1:80", "255.255.255.255:80", "[ff02::1]:80", "[::]:80", "[fe80::1]:80", "198.51.100.1:",
			"198.51.100.1:99999", "198.51.100.256", "2001:db8:2::3", "[2001:db8:2::3]", "127.0.0.1:80", "localhost", "198.51.100.254")
	case v6 != c.chance(10):
		return c.one("[2001:db8:2::1]:80", "[2001:db8:2::2]:80", "[2001:db8:2::3]:443", "2001:db8:2::1", "[2001:db8:2::1]:0")
	}
	return c.one("198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4") +
		c.one("", "", ":80", ":80", ":8080", ":443", ":0", ":http", ":65535")
}

func (c *commander) someServer() string {
	if len(c.servers) == 0 || c.chance(20) {
		return words(c.someService(), "-r", c.server())
	}
	return c.one(c.servers...)
}

func (c *commander) serverOptions() string {
	all := []string{c.one("", "-g", "-m", "-m", "-i", "--masquerading", "--gatewaying", "--ipip")}
	if c.chance(60) {
		all = append(all, c.one("-w ", "-w", "--weight=", "--weight ")+c.number())
	}
	for _, o := range []string{"-x", "-y", "--u-threshold", "--l-threshold"} {
		if c.chance(4) {
			all = append(all, o+" "+c.number())
		}
	}
	tunnel := 2
	if strings.HasPrefix(all[0], "-i") || all[0] == "--ipip" {
		tunnel = 30
	}
	for _, o := range []string{"--tun-type gue", "--tun-type gre", "--tun-type ipip", "--tun-port 6080", "--tun-port " + c.number(), "--tun-csum", "--tun-nocsum", "--tun-remcsum"} {
		if c.chance(tunnel) {
			all = append(all, o)
		}
	}
	return words(all...)
}

// options are all that ipvsadm knows, and some that it does not.
var options = strings.Fields("-A -E -D -C -R -S -a -e -d -L -l -Z -h -v --set --list --zero --clear -t -u -f -6 -s -p -M -r -g -i -m " +
	"-w -x -y -n -c --stats --rate --exact --thresholds --persistent-conn --nosort --sort --timeout --daemon -o -b --pe --tun-info " +
	"--tun-type --tun-port --tun-csum --mcast-interface --syncid --mcast-group --mcast-port --mcast-ttl --sync-maxlen " +
	"-Q --nosuch --weigh --add -- - -nX -Ln -w5 -w=5 --weight= -t= -= --=")

// mangled does something wrong to a command line.
func mangled(r *rand.Rand, line string) string {
	all := strings.Fields(line)
	if len(all) == 0 {
		return line
	}
	at := r.IntN(len(all))
	option := options[r.IntN(len(options))]
	switch r.IntN(7) {
	case 0:
		all = slices.Delete(all, at, at+1)
	case 1:
		all = slices.Insert(all, at, all[r.IntN(len(all))])
	case 2:
		all = slices.Insert(all, at+1, option)
	case 3:
		all[at] = option
	case 4:
		other := r.IntN(len(all))
		all[at], all[other] = all[other], all[at]
	case 5:
		all = append(all, option, all[at])
	case 6:
		cut := r.IntN(len(all[at]) + 1)
		all[at] = all[at][:cut] + string("0:-=,[x9"[r.IntN(8)]) + all[at][cut:]
	}
	return strings.Join(all, " ")
}
