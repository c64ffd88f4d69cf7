package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// The ports of the servers, and what `lab serve` writes to file descriptor 3 when it listens.
const (
	udpPort   = 53
	readyWord = "ready"
	readyFD   = 3
)

var tcpPorts = []int{80, 8080}

// ServerHeader names the answering server in every HTTP answer of a lab's servers.
const ServerHeader = "X-Server"

// maxBytes bounds what /bytes/N sends.
const maxBytes = 1 << 30

// ServeCommand is the program behind `drover lab serve NAME`: it serves until SIGTERM.
func ServeCommand(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%w: lab serve wants one name", ErrConfig)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return serve(ctx, args[0], func() {
		tell := os.NewFile(readyFD, "ready")
		_, _ = tell.WriteString(readyWord) // nobody listens when it is started by hand
		tell.Close()
	})
}

// serve answers HTTP on tcpPorts and echoes UDP on udpPort, on all addresses, until ctx ends. ready
// is called once everything listens.
func serve(ctx context.Context, name string, ready func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	server := &http.Server{Handler: Handler(name), ReadHeaderTimeout: 10 * time.Second}
	defer server.Close()
	for _, port := range tcpPorts {
		listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			return fmt.Errorf("serve HTTP: %w", err)
		}
		go func() { cancel(server.Serve(listener)) }()
	}
	for _, listen := range []func() (echoSocket, error){listenEcho4, listenEcho6} {
		socket, err := listen()
		if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) {
			continue // a lab of one family
		}
		if err != nil {
			return fmt.Errorf("serve UDP: %w", err)
		}
		defer socket.Close()
		go func() { cancel(echo(socket, name)) }()
	}
	ready()
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// Handler answers as a lab's server does:
//
//	GET /         its name, the client's address and the one that was asked, on one line
//	GET /bytes/N  N bytes, each its position modulo 251
//	POST /        the SHA-256 of what was sent, in hexadecimal, and its length
func Handler(name string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		local := r.Context().Value(http.LocalAddrContextKey)
		fmt.Fprintf(w, "%s: client %s, address %v\n", name, r.RemoteAddr, local)
	})
	mux.HandleFunc("GET /bytes/{n}", sendBytes)
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%x %d\n", sum.Sum(nil), n)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(ServerHeader, name)
		mux.ServeHTTP(w, r)
	})
}

func sendBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 0 || n > maxBytes {
		http.Error(w, fmt.Sprintf("want 0 to %d bytes", maxBytes), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	period := make([]byte, patternPeriod*128)
	for i := range period {
		period[i] = byte(i % patternPeriod)
	}
	for n > 0 {
		sent, err := w.Write(period[:min(n, len(period))])
		if err != nil {
			return // the client left
		}
		n -= sent
	}
}

// patternPeriod is a prime, so that a lost or doubled piece of a transfer shifts what follows.
const patternPeriod = 251
