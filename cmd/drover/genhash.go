package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/checker"
)

// newGenhashCommand is keepalived's genhash: the digest of a page.
func newGenhashCommand(env *environment) *cobra.Command {
	var server, url, host, version string
	var port uint16
	var mark, seconds uint32
	var secure, sni, verbose bool
	cmd := &cobra.Command{
		Use:   "genhash",
		Short: "Print the digest of a page, for the digest of a url in HTTP_GET or SSL_GET",
		Long: `Print the digest of a page, for the digest of a url in HTTP_GET or SSL_GET: 32 hexadecimal digits, the MD5 of its
body. The options are those of keepalived's genhash.

Exit status: 0, 1 if there is no answer (keepalived's genhash gives 0), 2 for wrong usage.`,
		Example: "  drover genhash -s 198.51.100.11 -p 80 -u /",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			addr, err := netip.ParseAddr(server)
			if err != nil || port == 0 || url == "" {
				return usageError("want -s ADDRESS -p PORT -u URL")
			}
			c := checker.Check{
				Kind: checker.KindHTTP, Endpoint: checker.Endpoint{Addr: netip.AddrPortFrom(addr, port), Mark: mark},
				Timing: checker.Timing{Timeout: time.Duration(seconds) * time.Second},
				HTTP:   &checker.HTTP{Version: checker.Version(strings.ToUpper(version)), VirtualHost: host, SNI: sni},
			}
			switch c.HTTP.Version {
			case checker.HTTP10, checker.HTTP10C, checker.HTTP11:
			default:
				return usageError("-P %q: want 1.0, 1.0C or 1.1", version)
			}
			if secure {
				c.Kind = checker.KindSSL
			}
			return genhash(cmd.Context(), env, &c, url, verbose)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&server, "server", "s", "", "address of the server")
	flags.Uint16VarP(&port, "port", "p", 0, "port of the server")
	flags.StringVarP(&url, "url", "u", "", "path of the page")
	flags.BoolVarP(&secure, "use-ssl", "S", false, "by TLS")
	flags.BoolVarP(&sni, "use-sni", "I", false, "name the virtual host in TLS, too")
	flags.StringVarP(&host, "use-virtualhost", "V", "", "the virtual host")
	flags.StringVarP(&version, "protocol", "P", "1.0", "version of HTTP: 1.0, 1.0C or 1.1")
	flags.Uint32VarP(&mark, "fwmark", "m", 0, "firewall mark of the packets")
	flags.Uint32VarP(&seconds, "timeout", "t", 5, "seconds that each step may take")
	flags.BoolVarP(&verbose, "verbose", "v", false, "print the status and the time, too")
	return cmd
}

func genhash(ctx context.Context, env *environment, c *checker.Check, url string, verbose bool) error {
	begin := time.Now()
	status, digest, err := c.Page(ctx, checker.URL{Path: url})
	if err != nil {
		return fmt.Errorf("%s: %w", c.Addr, err)
	}
	if verbose {
		fmt.Fprintf(env.stdout, "HTTP status %d of %s after %v\n", status, url, time.Since(begin).Round(time.Microsecond))
	}
	fmt.Fprintln(env.stdout, digest)
	return nil
}
