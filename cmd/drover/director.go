package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"drover/internal/api"
	"drover/internal/config"
	"drover/internal/datapath"
	"drover/internal/director"
	"drover/internal/lvs"
	"drover/internal/namespace"
	"drover/internal/notify"
	"drover/internal/router"
	"drover/internal/vrrp"
)

// defaultConfig is where keepalived looks, too.
const defaultConfig = "/etc/keepalived/keepalived.conf"

// notifyPatience is how long the end of the director waits for programs, mail and web hooks that are to be told.
const notifyPatience = 5 * time.Second

// directorFlags are keepalived's, as far as people use them.
type directorFlags struct {
	file, id, pid, metrics string
	interfaces             []string
	vrrpOnly, checkOnly    bool
	console, detail, dump  bool
	test, stay, clear      bool
}

// newDirectorCommand is `drover director`: the daemon that keeps the pools of a keepalived.conf.
func newDirectorCommand(env *environment) *cobra.Command {
	var f directorFlags
	cmd := &cobra.Command{
		Use:   "director",
		Short: "Keep the pools of a keepalived.conf: check its servers, and balance to those that serve",
		Long: `Keep the pools of a keepalived.conf: check its real servers, and have the data path balance to those that serve.

It stays in the foreground. SIGHUP reads the file again: one that can't be used is refused, and the old one stays in
force. SIGTERM ends the director and leaves the services in the data path, which goes on forwarding, unless
lvs_flush_on_stop is set; --clear takes out what a director that has ended has left. Services made by ipvsadm are left alone.

Exit status: 0 after SIGTERM; 1 on an error, 2 for a configuration that can't be used, or wrong usage; with -t as "drover config check".`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.vrrpOnly && f.checkOnly {
				return usageError("--vrrp and --check: want one of them at most")
			}
			if f.clear {
				return clearDirector(env)
			}
			return runDirector(cmd.Context(), env, &f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "use-file", "f", defaultConfig, "configuration file")
	flags.StringVarP(&f.id, "config-id", "i", "", "read the lines that begin with @ID too")
	flags.StringVarP(&f.pid, "pid", "p", "", "file to write the process ID to")
	flags.BoolVarP(&f.vrrpOnly, "vrrp", "P", false, "run VRRP alone")
	flags.BoolVarP(&f.checkOnly, "check", "C", false, "run the health checks alone")
	flags.BoolVarP(&f.console, "log-console", "l", false, "log for people, also where the log is no terminal")
	flags.BoolVarP(&f.detail, "log-detail", "D", false, "log what is of use in a search for a fault")
	flags.BoolVarP(&f.stay, "dont-fork", "n", false, "stay in the foreground, as it always does")
	flags.BoolVarP(&f.dump, "dump-conf", "d", false, "print what the configuration comes to, first")
	flags.BoolVarP(&f.test, "config-test", "t", false, "check the configuration, and end")
	flags.StringVar(&f.metrics, "metrics", "", "serve metrics for Prometheus at HOST:PORT of this machine")
	flags.StringSliceVar(&f.interfaces, "interface", nil, "interfaces to load the data path on, where it is not loaded (default: chosen)")
	flags.BoolVar(&f.clear, "clear", false, "take the services of a director that has ended out of the data path")
	return cmd
}

// directorFile gives the path of what belongs to this network namespace's director: its socket and its state.
func directorFile(extension string) (string, error) {
	cookie, err := namespace.Cookie()
	if err != nil {
		return "", err
	}
	return filepath.Join(datapath.RunFolder(), "director_"+strconv.FormatUint(cookie, 10)+extension), nil
}

// stateFile is the director's memory: where systemd has made a folder for it, it outlives the machine's restart.
func stateFile(env *environment) (string, error) {
	path, err := directorFile(".json")
	if folder := env.getenv("STATE_DIRECTORY"); folder != "" && err == nil {
		path = filepath.Join(folder, filepath.Base(path))
	}
	return path, err
}

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

func runDirector(ctx context.Context, env *environment, f *directorFlags) error {
	if f.test {
		return checkConfig(env, f.file, config.Options{ID: f.id}, false, false)
	}
	logger := newLogger(env, f)
	loader := &configLoader{flags: f, log: logger}
	first, err := loader.begin()
	if err != nil {
		return &exitError{2, err}
	}
	if f.dump {
		if err := first.WriteText(env.stdout); err != nil {
			return err
		}
	}
	socket, err := directorFile(".sock")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return err
	}
	listener, err := api.Listen(socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := os.Chmod(socket, 0o660); err != nil {
		return err
	}
	if err := writePID(f.pid); err != nil {
		return err
	}
	if f.pid != "" {
		defer os.Remove(f.pid) //nolint:errcheck // it is the last thing that is done
	}
	return serveDirector(ctx, env, f, logger, loader, first, listener)
}

func writePID(path string) error {
	if path == "" {
		return nil
	}
	return os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644)
}

// serveDirector runs the director and its API until a signal ends them.
func serveDirector(ctx context.Context, env *environment, f *directorFlags, logger *slog.Logger, loader *configLoader, first *config.Config, l net.Listener) error {
	state, err := stateFile(env)
	if err != nil {
		return err
	}
	teller := notify.New(logger)
	defer teller.Close(notifyPatience)
	supervisor := director.NewSupervisor(env.getenv)
	standby, renew := setStandby, renewLeases
	if f.vrrpOnly { // no service, and so nothing to balance
		standby, renew = nil, nil
	}
	var d *director.Director
	routers := router.New(router.Options{Standby: standby, Renew: renew, Tell: func(c vrrp.Change) { d.Changed(c) }, Log: logger})
	d = director.New(director.Options{
		Load:   loader.load,
		Open:   func() (director.Table, error) { return openForDirector(env, f, first) },
		Look:   lookForService,
		Keep:   director.Store{Path: state, Boot: bootID()},
		Router: routers,
		Tell:   teller,
		Log:    logger,
	})
	server := &api.Server{Director: d, Version: programVersion()}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go handleSignals(ctx, stop, d, supervisor)
	go writeDumps(ctx, routers, logger)
	go func() {
		if err := api.Serve(ctx, l, server.Handler()); err != nil && ctx.Err() == nil {
			logger.Error("the API has ended: commands can't reach the director", "error", err)
		}
	}()
	address := f.metrics
	if address == "" {
		address = first.Drover.MetricsAddress
	}
	if address != "" {
		if err := serveMetrics(ctx, address, server, logger); err != nil {
			return err
		}
	}
	defer supervisor.Stopping()
	return d.Run(ctx, supervisor.Ready, supervisor.Beat)
}

func handleSignals(ctx context.Context, stop func(), d *director.Director, supervisor *director.Supervisor) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGHUP, unix.SIGTERM, unix.SIGINT)
	defer signal.Stop(signals)
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			if s != unix.SIGHUP {
				stop()
				return
			}
			supervisor.Reloading()
			_ = d.Reload(ctx) // it is told there
			supervisor.Ready()
		}
	}
}

// rtmin2 is SIGRTMIN+2 as the C library counts, which keeps the first two for itself.
const rtmin2 = unix.Signal(36)

// writeDumps writes keepalived's files of its virtual routers at its signals: exporters send them, and read the files.
func writeDumps(ctx context.Context, routers *router.Router, logger *slog.Logger) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGUSR2, rtmin2)
	defer signal.Stop(signals)
	for {
		path, write := "/tmp/keepalived.stats", routers.WriteStats
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			if s == rtmin2 {
				path, write = "/tmp/keepalived.json", routers.WriteJSON
			}
		}
		var text bytes.Buffer
		err := write(&text)
		if err == nil {
			err = writeDump(path, text.Bytes())
		}
		if err != nil {
			logger.Error("a dump is not written", "file", path, "error", err)
		}
	}
}

// writeDump puts a new file in the place of an old one: others can write to the folder, and who reads finds a whole file.
func writeDump(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".keepalived-")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// serveMetrics answers Prometheus on a loopback port.
func serveMetrics(ctx context.Context, address string, server *api.Server, logger *slog.Logger) error {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || (host != "localhost" && (ip == nil || !ip.IsLoopback())) {
		return usageError("--metrics %q: want HOST:PORT with an address of this machine's loopback", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	go func() {
		if err := api.Serve(ctx, l, server.MetricsHandler()); err != nil {
			logger.Error("metrics are not served any more", "error", err)
		}
	}()
	return nil
}

// openForDirector opens the table for one change, and loads the data path where it is not.
func openForDirector(env *environment, f *directorFlags, c *config.Config) (director.Table, error) {
	t, err := datapath.Open(true)
	if errors.Is(err, datapath.ErrNotLoaded) {
		interfaces := f.interfaces
		if len(interfaces) == 0 {
			interfaces = c.Drover.Interfaces
		}
		if _, err := load(env, interfaces); err != nil {
			return nil, err
		}
		t, err = datapath.Open(true)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// lookForService tells whether a service is in the data path.
// setStandby tells the data path whether another host has a VIP. Where none is loaded, nobody has to know.
func setStandby(vip netip.Addr, standby bool, lasts time.Duration) error {
	t, err := datapath.Open(true)
	if errors.Is(err, datapath.ErrNotLoaded) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(t.SetStandby(vip, standby), t.SetLease(vip, lasts), t.Close())
}

// renewLeases tells the data path that this director lives.
func renewLeases(vips []netip.Addr, lasts time.Duration) error {
	err := datapath.RenewLeases(vips, lasts)
	if errors.Is(err, fs.ErrNotExist) { // no data path is loaded
		return nil
	}
	return err
}

func lookForService(k lvs.ServiceKey) error {
	t, err := datapath.Open(false)
	if errors.Is(err, datapath.ErrNotLoaded) {
		return lvs.ErrNoService
	}
	if err != nil {
		return err
	}
	defer t.Close() //nolint:errcheck // only read
	_, err = t.Service(k)
	if errors.Is(err, lvs.ErrServiceNotDefined) {
		return lvs.ErrNoService
	}
	return err
}

// newLogger logs for people on a terminal or with -l, and JSON elsewhere.
func newLogger(env *environment, f *directorFlags) *slog.Logger {
	level := slog.LevelInfo
	if f.detail {
		level = slog.LevelDebug
	}
	out := env.stderr
	file, ok := out.(*os.File)
	if f.console || (ok && isTerminal(int(file.Fd()))) {
		return slog.New(&consoleHandler{printer: newPrinterFor(env, out), level: level})
	}
	return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}))
}

// A consoleHandler writes one line for each record: time, message, and the values that the message does not hold.
type consoleHandler struct {
	printer *printer
	level   slog.Level
}

func (h *consoleHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }
func (h *consoleHandler) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h *consoleHandler) WithGroup(string) slog.Handler                { return h }

func (h *consoleHandler) Handle(_ context.Context, r slog.Record) error {
	var rest strings.Builder
	message, reason := r.Message, ""
	r.Attrs(func(a slog.Attr) bool {
		switch text := a.Value.String(); {
		case a.Key == "event" || a.Key == "state" || strings.Contains(r.Message, text):
		case a.Key == "reason" || a.Key == "error":
			message, reason = withReason(r.Message, text)
		default:
			fmt.Fprintf(&rest, " %s=%s", a.Key, text)
		}
		return true
	})
	s := plain
	switch {
	case r.Level >= slog.LevelError:
		s = red
	case r.Level >= slog.LevelWarn:
		s = yellow
	}
	return h.printer.printf("%s %s%s\n", h.printer.in(faint, r.Time.Format(time.DateTime)), h.printer.in(s, message), rest.String()+reason)
}

func newPrinterFor(env *environment, w io.Writer) *printer {
	return newPrinter(&environment{stdout: w, getenv: env.getenv})
}

// clearDirector takes out of the data path what a director that has ended has left there.
func clearDirector(env *environment) error {
	socket, err := directorFile(".sock")
	if err != nil {
		return err
	}
	if c, err := net.DialTimeout("unix", socket, time.Second); err == nil {
		return errors.Join(c.Close(), fmt.Errorf("%w: end it first", api.ErrRunning))
	}
	path, err := stateFile(env)
	if err != nil {
		return err
	}
	removed, err := director.Clear(director.Store{Path: path, Boot: bootID()}, func() (director.Table, error) {
		t, err := datapath.Open(true)
		if err != nil {
			return nil, err
		}
		return t, nil
	})
	if errors.Is(err, datapath.ErrNotLoaded) {
		err = nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.stdout, "%d services removed\n", removed)
	return err
}
