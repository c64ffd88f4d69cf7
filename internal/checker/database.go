package checker

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
)

// databases are the protocols of databases, which libraries speak. Each logs in, sends the request if there is one, and
// gives the first value of its answer.
var databases = map[string]func(context.Context, *Check) (string, error){
	"mysql": askMySQL,
	"pgsql": askPostgreSQL,
}

// greetMySQL looks at a MySQL server's first packet, without a login: it is of protocol version 10, or an error.
func greetMySQL(ctx context.Context, c *Check) error {
	conn, err := c.dial(ctx, "tcp")
	if err != nil {
		return err
	}
	stream, release := c.converse(ctx, conn)
	defer release()
	var head [5]byte // length of 3 bytes, a number, and the payload's first byte
	r := limitReader(stream)
	for i := range head {
		if head[i], err = r.ReadByte(); err != nil {
			return c.explain(err)
		}
	}
	switch head[4] {
	case 10:
		return nil
	case 0xff:
		rest := make([]byte, min(int(head[0])|int(head[1])<<8, 512))
		n, _ := r.Read(rest)
		return fmt.Errorf("the server refuses: %s", strings.TrimFunc(string(rest[min(n, 2):n]), func(r rune) bool { return r < ' ' }))
	}
	return errors.New("the answer is not MySQL")
}

func askMySQL(ctx context.Context, c *Check) (string, error) {
	d := c.Dialog
	if d.User == "" {
		return "", greetMySQL(ctx, c)
	}
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName = d.User, d.Password, d.Database
	config.Net, config.Addr = "tcp", c.Addr.String()
	config.Timeout, config.ReadTimeout, config.WriteTimeout = c.Timing.Timeout, c.Timing.Timeout, c.Timing.Timeout
	config.Logger = &mysql.NopLogger{}
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx, "tcp") }
	if d.TLS {
		config.TLSConfig = "skip-verify"
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return "", err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, 3*c.Timing.Timeout)
	defer cancel()
	if d.Request == "" {
		return "", db.PingContext(ctx)
	}
	var answer sql.NullString
	err = db.QueryRowContext(ctx, d.Request).Scan(&answer)
	return answer.String, err
}

func askPostgreSQL(ctx context.Context, c *Check) (string, error) {
	d := c.Dialog
	config, err := pgconn.ParseConfig("")
	if err != nil {
		return "", err
	}
	config.Host, config.Port = c.Addr.Addr().String(), c.Addr.Port()
	config.User, config.Password, config.Database = d.User, d.Password, d.Database
	if config.User == "" {
		config.User = "postgres"
	}
	config.TLSConfig, config.Fallbacks = nil, nil
	if d.TLS {
		config.TLSConfig = (*TLS)(nil).config("")
	}
	config.ConnectTimeout = c.Timing.Timeout
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx, "tcp") }
	config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{c.Addr.Addr().String()}, nil }
	ctx, cancel := context.WithTimeout(ctx, 3*c.Timing.Timeout)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return "", innermost(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // what was asked is answered
	if d.Request == "" {
		return "", nil
	}
	results, err := conn.Exec(ctx, d.Request).ReadAll()
	if err != nil {
		return "", innermost(err)
	}
	if len(results) > 0 && len(results[0].Rows) > 0 && len(results[0].Rows[0]) > 0 {
		return string(results[0].Rows[0][0]), nil
	}
	return "", nil
}

// innermost leaves out what a library says around the server's own words, as the configuration with its user.
func innermost(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return errors.New(e.Message)
	}
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
