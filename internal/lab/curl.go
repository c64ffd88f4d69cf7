package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// An Answer is one curl's outcome.
type Answer struct {
	Server  string `json:"server"` // who answered, empty if nobody did
	Code    string `json:"code"`   // HTTP status, "000" without an answer
	Bytes   string `json:"bytes"`  // of the body
	Seconds string `json:"seconds"`
	Error   string `json:"error,omitempty"`
}

// Failed tells whether there was no answer, or one that is an error.
func (a Answer) Failed() bool { return a.Error != "" || a.Code >= "400" }

// URL is that of a path on the VIP of a family, V4 or V6. With no family it is the lab's first one.
// Its errors wrap ErrConfig.
func (l *Lab) URL(family Family, path string) (string, error) {
	if family == "" && len(l.Topology.VIPs) > 0 {
		family = V4
		if l.Config.Family == V6 {
			family = V6
		}
	}
	if family != V4 && family != V6 {
		return "", fmt.Errorf("%w: family %q: want v4 or v6", ErrConfig, family)
	}
	vip := l.Topology.VIP(family)
	if !vip.IsValid() {
		return "", fmt.Errorf("%w: lab %q has no %s addresses", ErrConfig, l.Config.Name, family)
	}
	host := vip.String()
	if vip.Is6() {
		host = "[" + host + "]"
	}
	return "http://" + host + "/" + strings.TrimPrefix(path, "/"), nil
}

// Curl asks for a URL once, with curl in the client's namespace. What curl complains about is in the
// answer; an error is that it could not be run.
func (l *Lab) Curl(ctx context.Context, url string) (Answer, error) {
	if _, err := exec.LookPath("curl"); err != nil {
		return Answer{}, errors.New("curl is not installed (apt-get install curl)")
	}
	const form = "%header{x-server}\t%{http_code}\t%{size_download}\t%{time_total}"
	out, err := l.Exec(ctx, Client, "curl", "--silent", "--show-error", "--globoff", "--noproxy", "*",
		"--connect-timeout", "3", "--max-time", "30", "--output", "/dev/null", "--write-out", form, url)
	exit := (*exec.ExitError)(nil)
	if err != nil && !errors.As(err, &exit) {
		return Answer{}, err
	}
	fields := strings.Split(string(out), "\t")
	if len(fields) != 4 {
		return Answer{}, cmp.Or(err, fmt.Errorf("curl printed %q", out))
	}
	answer := Answer{Server: fields[0], Code: fields[1], Bytes: fields[2], Seconds: fields[3]}
	if err != nil {
		_, answer.Error, _ = strings.Cut(err.Error(), "curl: ")
	}
	return answer, nil
}

// A Tally counts the answers of one server.
type Tally struct {
	Server  string `json:"server"`
	Answers int    `json:"answers"`
}

// Count gives the answers of each server, in the order of their names. Failed requests are left out.
func Count(answers []Answer) []Tally {
	tallies := []Tally{}
	for _, a := range answers {
		if a.Failed() {
			continue
		}
		i, found := slices.BinarySearchFunc(tallies, a.Server, func(t Tally, name string) int {
			return cmp.Compare(t.Server, name)
		})
		if !found {
			tallies = slices.Insert(tallies, i, Tally{Server: a.Server})
		}
		tallies[i].Answers++
	}
	return tallies
}
