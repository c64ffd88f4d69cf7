package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"drover/internal/lab"
)

func newLabCurl(env *environment) *cobra.Command {
	var name, family string
	var count int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "curl [PATH]",
		Short: "Ask the VIP from the client and count who answers",
		Long: `Ask the VIP from the client with curl, and count who answers.

Paths of the servers: / (who answers), /bytes/N (N bytes).`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError("lab curl takes one path: %q", strings.Join(args, " "))
			}
			if count < 1 {
				return usageError("--count %d: want 1 or more", count)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := lab.Open(name)
			if err != nil {
				return labError(err)
			}
			url, err := l.URL(lab.Family(family), strings.Join(args, ""))
			if err != nil {
				return labError(err)
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return labCurl(ctx, env, l, url, count, asJSON)
		},
	}
	nameFlag(cmd, &name)
	cmd.Flags().StringVar(&family, "family", "", "v4 or v6 (default v4, if the lab has it)")
	cmd.Flags().IntVar(&count, "count", 1, "number of requests")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// labCurl asks count times, prints each answer as it comes, and the tally. It exits with 1 if a
// request failed.
func labCurl(ctx context.Context, env *environment, l *lab.Lab, url string, count int, asJSON bool) error {
	var answers []lab.Answer
	failed := 0
	for i := 0; i < count && ctx.Err() == nil; i++ {
		answer, err := l.Curl(ctx, url)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return labError(err)
		}
		if answer.Failed() {
			failed++
		}
		answers = append(answers, answer)
		if !asJSON {
			printAnswer(env.stdout, url, answer)
		}
	}
	if asJSON {
		if err := writeJSON(env.stdout, map[string]any{
			"url": url, "requests": answers, "servers": lab.Count(answers), "failed": failed,
		}); err != nil {
			return err
		}
	} else if err := printTally(env.stdout, lab.Count(answers), failed); err != nil {
		return err
	}
	if failed > 0 || ctx.Err() != nil {
		return &exitError{status: 1}
	}
	return nil
}

func printAnswer(w io.Writer, url string, a lab.Answer) {
	switch {
	case a.Error != "":
		fmt.Fprintf(w, "%s  failed: %s\n", url, a.Error)
	default:
		fmt.Fprintf(w, "%s  %s  HTTP %s, %s bytes, %s s\n", url, a.Server, a.Code, a.Bytes, a.Seconds)
	}
}

func printTally(w io.Writer, tallies []lab.Tally, failed int) error {
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "server\tanswers\t")
	for _, t := range tallies {
		fmt.Fprintf(table, "%s\t%d\t\n", t.Server, t.Answers)
	}
	if failed > 0 {
		fmt.Fprintf(table, "failed\t%d\t\n", failed)
	}
	return table.Flush()
}

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
