//go:build bench

package http

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"drover/internal/lab"
)

// A load is what wrk does for one column of the table.
type load struct {
	name   string
	header string // "": connections are kept
}

var loads = []load{
	{name: "keep-alive"},
	{name: "a connection each", header: "Connection: close"},
}

const wrkConnections = 32

// ask has wrk on the client ask for so many seconds: requests per second, and those that failed.
func (l load) ask(ctx context.Context, cluster *lab.Lab, url string, seconds int) (speed float64, failed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+20*time.Second)
	defer cancel()
	args := []string{"wrk", "-t", "1", "-c", strconv.Itoa(wrkConnections), "-d", strconv.Itoa(seconds) + "s"}
	if l.header != "" {
		args = append(args, "-H", l.header)
	}
	output, err := cluster.Exec(ctx, lab.Client, append(args, url)...)
	if err != nil {
		return 0, 0, err
	}
	speed, failed, err = readWrk(string(output))
	if err == nil && speed == 0 {
		err = fmt.Errorf("no answers from %s:\n%s", url, output)
	}
	return speed, failed, err
}
