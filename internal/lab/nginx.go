package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func findNginx() error {
	if _, err := exec.LookPath("nginx"); err != nil {
		return errors.New("nginx is not installed (apt-get install nginx)")
	}
	return nil
}

// startNginx runs nginx in the foreground, with its files in a folder of the lab's state, and waits
// until it accepts connections.
func (l *Lab) startNginx(ctx context.Context, rs string) error {
	prefix := filepath.Join(l.folder, rs)
	if err := os.MkdirAll(prefix, 0o755); err != nil {
		return err
	}
	file := filepath.Join(prefix, "nginx.conf")
	if err := os.WriteFile(file, []byte(nginxConfig(rs, l.Config.Family)), 0o644); err != nil {
		return err
	}
	cmd := exec.Command("nginx", "-p", prefix, "-c", file, "-e", "stderr")
	if err := l.startProcess(ctx, rs, cmd); err != nil {
		return err
	}
	nginx := l.processes[len(l.processes)-1]
	deadline := time.Now().Add(startLimit)
	for {
		if !nginx.Alive() {
			return fmt.Errorf("nginx ended: %s", l.lastLog(rs))
		}
		err := l.Do(rs, l.tryConnect)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nginx does not listen: %w", err)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// tryConnect asks the thread's own node for its HTTP port. A literal address, so that the dialer needs
// no resolver and makes its socket on this thread.
func (l *Lab) tryConnect() error {
	host := "127.0.0.1"
	if l.Config.Family == V6 {
		host = "::1"
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(tcpPorts[0])), time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// nginxConfig answers every path as Handler answers "/". It is one process, without a master, so that
// whoever kills it in an experiment has killed the server.
func nginxConfig(name string, family Family) string {
	var listen strings.Builder
	for _, port := range tcpPorts {
		if family != V6 {
			listen.WriteString("    listen " + strconv.Itoa(port) + ";\n")
		}
		if family != V4 {
			listen.WriteString("    listen [::]:" + strconv.Itoa(port) + " ipv6only=on;\n")
		}
	}
	return `daemon off;
master_process off;
user root;
pid nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  default_type text/plain;
  server {
` + listen.String() + `    add_header ` + ServerHeader + ` ` + name + ` always;
    location / {
      return 200 "` + name + `: client $remote_addr:$remote_port, address $server_addr:$server_port\n";
    }
  }
}
`
}
