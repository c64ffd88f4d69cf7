package http

import "testing"

func TestReadWrk(t *testing.T) {
	const begin = `Running 3s test @ http://192.0.2.100/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     5.75ms   11.01ms 128.64ms   94.84%
    Req/Sec     9.14k     1.89k   12.09k    73.33%
  27311 requests in 3.01s, 5.86MB read
`
	const sockets = "  Socket errors: connect 1, read 20, write 300, timeout 4000\n"
	const end = "Requests/sec:   9079.11\nTransfer/sec:      1.95MB\n"
	for _, row := range []struct {
		name, output string
		speed        float64
		failed       int
		fails        bool
	}{
		{name: "all well", output: begin + end, speed: 9079.11},
		{name: "errors of sockets", output: begin + sockets + end, speed: 9079.11, failed: 4321},
		{name: "both kinds", output: begin + sockets + "  Non-2xx or 3xx responses: 70\n" + end, speed: 9079.11, failed: 4391},
		{name: "none", output: "unable to connect to 192.0.2.100:http Connection refused\n", fails: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			speed, failed, err := readWrk(row.output)
			if speed != row.speed || failed != row.failed || (err != nil) != row.fails {
				t.Errorf("%v per second, %d failed, %v; want %v, %d", speed, failed, err, row.speed, row.failed)
			}
		})
	}
}
