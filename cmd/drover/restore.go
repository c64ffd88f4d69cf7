package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/datapath"
	"drover/internal/lvs"
)

// newRestoreCommand is `drover restore`.
func newRestoreCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "restore [FILE]",
		Short: "Replace all that is configured by what drover save printed",
		Long: `Replace all that is configured by what "drover save" printed, read from FILE or else from the standard input.
All of it is checked first, and put in force as one transaction: on any error nothing is changed. Connections
of servers that are there again go on. Where no data path is loaded, it is loaded first.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name, text := "", env.stdin
			if len(args) == 1 && args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return &exitError{status: 2, err: err}
				}
				defer file.Close()
				name, text = args[0], file
			}
			lines, err := readSaved(name, text)
			if err != nil {
				return &exitError{status: 2, err: err}
			}
			return restoreLines(env, lines)
		},
	}
}

// A restoration is a restore under way: what it changes of the table is one transaction.
type restoration struct {
	table   *datapath.Table
	marks   []lvs.MarkRule
	standby []netip.Addr
	access  []lvs.AccessRule
	limit   lvs.AccessLimit
	// after is what is not part of the table's transaction: called when that is in force. What can be checked
	// was checked before.
	after []func() error
}

// A savedLine is a line that was read.
type savedLine struct {
	place string // "FILE:12"
	make  func(*restoration) error
}

// readSaved checks all lines. An error names the first that is wrong, and what was expected.
func readSaved(name string, text io.Reader) ([]savedLine, error) {
	var lines []savedLine
	scanner := bufio.NewScanner(text)
	for number := 1; scanner.Scan(); number++ {
		place := fmt.Sprintf("line %d", number)
		if name != "" {
			place = fmt.Sprintf("%s:%d", name, number)
		}
		words := strings.Fields(scanner.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		read, err := readerOf(words[0])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		make, err := read(words[1:])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		lines = append(lines, savedLine{place, make})
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return lines, nil
}

// readerOf finds the kind of a line by its first word.
func readerOf(word string) (func(words []string) (func(*restoration) error, error), error) {
	var known []string
	for _, kind := range savedKinds {
		if kind.word() == word {
			return kind.read, nil
		}
		known = append(known, kind.word())
	}
	return nil, fmt.Errorf("%q: expected one of %s", word, strings.Join(known, ", "))
}

// restoreLines makes a transaction of the lines. If it was for this that the data path was loaded, it is
// unloaded on an error.
func restoreLines(env *environment, lines []savedLine) (err error) {
	table, err := datapath.Open(true)
	if errors.Is(err, datapath.ErrNotLoaded) {
		var loaded *datapath.Loaded
		if loaded, err = load(env, nil); err != nil {
			return err
		}
		if !loaded.Already {
			defer func() {
				if err != nil {
					err = errors.Join(err, datapath.Unload())
				}
			}()
		}
		table, err = datapath.Open(true)
	}
	if err != nil {
		return err
	}
	r := &restoration{table: table}
	err = r.run(lines)
	for _, f := range r.after {
		if err == nil {
			err = f()
		}
	}
	return errors.Join(err, table.Close())
}

// run does it all, or nothing: what is not committed is forgotten.
func (r *restoration) run(lines []savedLine) error {
	if err := r.table.Begin(); err != nil {
		return err
	}
	for _, kind := range savedKinds {
		if err := kind.forget(r); err != nil {
			return err
		}
	}
	for _, line := range lines {
		if err := line.make(r); err != nil {
			return &exitError{status: 2, err: fmt.Errorf("%s: %w", line.place, err)}
		}
	}
	return r.table.Commit()
}
