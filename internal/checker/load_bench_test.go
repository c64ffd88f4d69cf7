//go:build bench

package checker

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	benchChecks = 10_000
	benchTime   = 10 * time.Second
)

// TestMain is the server in a process of its own, whose time is not counted.
func TestMain(m *testing.M) {
	if os.Getenv("CHECKER_BENCH_SERVER") == "" {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	os.Stdout.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func cpuTime(t *testing.T) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestBenchChecks asks 10,000 TCP checks once a second, and says what that costs, as a share of one core, and how evenly they
// are spread over slots of 10 ms.
func TestBenchChecks(t *testing.T) {
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), "CHECKER_BENCH_SERVER=1")
	stdin, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stdin.Close(); _ = server.Wait() }()
	var address string
	if _, err := fmt.Fscan(stdout, &address); err != nil {
		t.Fatal(err)
	}
	port := netip.MustParseAddrPort(address).Port()
	checks := make([]Check, benchChecks)
	for i := range checks {
		addr := netip.AddrFrom4([4]byte{127, byte(1 + i/65536), byte(i / 256), byte(i)})
		if i%256 == 0 || i%256 == 255 {
			addr = netip.AddrFrom4([4]byte{127, 99, byte(i / 256), byte(1 + i%256/255)})
		}
		checks[i] = Check{
			Kind: KindTCP, Endpoint: Endpoint{Addr: netip.AddrPortFrom(addr, port)},
			Timing: Timing{Delay: time.Second, Warmup: time.Second, Timeout: 5 * time.Second, Retry: 1, RetryDelay: time.Second},
		}
	}
	var failed atomic.Int64
	r := New(func(report Report) {
		if !report.State.Up {
			failed.Add(1)
		}
	})
	defer r.Close()
	r.Set(checks, nil)
	time.Sleep(3 * time.Second)
	slots := map[time.Duration]int{}
	seen := map[Key]time.Time{}
	begin, cpu := time.Now(), cpuTime(t)
	time.Sleep(benchTime)
	used, wall := cpuTime(t)-cpu, time.Since(begin)
	for key, s := range r.States() {
		seen[key] = s.Last.At
		slots[s.Last.At.Sub(begin)/(10*time.Millisecond)]++
	}
	counts := slices.Sorted(maps.Values(slots))
	t.Logf("%d checks a second apart: %.2f of a core over %v, %d failed; answers in slots of 10 ms: median %d, 90 %% %d, most %d",
		len(seen), used.Seconds()/wall.Seconds(), wall.Round(time.Second), failed.Load(), counts[len(counts)/2], counts[len(counts)*9/10], counts[len(counts)-1])
}
