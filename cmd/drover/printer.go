package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// A style is an ANSI "Select Graphic Rendition" code (ECMA-48, Section 8.3.117).
type style string

const (
	plain  style = ""
	bold   style = "1"
	faint  style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

// printer writes for a person: in colour on a terminal, plain into a pipe.
type printer struct {
	w     io.Writer
	color bool
}

// newPrinter colours a terminal, unless the user has set NO_COLOR (no-color.org).
func newPrinter(env *environment) *printer {
	file, ok := env.stdout.(*os.File)
	color := ok && env.getenv("NO_COLOR") == "" && env.getenv("TERM") != "dumb" && isTerminal(int(file.Fd()))
	return &printer{w: env.stdout, color: color}
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

func (p *printer) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(p.w, format, args...)
	return err
}

// in colours a text, if there are colours.
func (p *printer) in(s style, text string) string {
	if !p.color || s == plain {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// cell is one field of a table.
type cell struct {
	text  string
	style style
	right bool // align to the right, as numbers are
}

// table writes rows with their columns aligned, indented by two blanks. The widths are counted before
// the colours are put on.
func (p *printer) table(rows [][]cell) error {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text))
			line.WriteString("  ")
			if c.right {
				line.WriteString(pad)
			}
			line.WriteString(p.in(c.style, c.text))
			if !c.right && i < len(row)-1 {
				line.WriteString(pad)
			}
		}
		if err := p.printf("%s\n", line.String()); err != nil {
			return err
		}
	}
	return nil
}

// bytesText gives a size in binary units: "512 B", "1.5 KiB", "96 MiB".
func bytesText(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10) + " B"
	}
	value, unit := float64(n)/1024, 0
	for value >= 1023.95 && unit < len("KMGTPE")-1 {
		value, unit = value/1024, unit+1
	}
	text := strings.TrimSuffix(strconv.FormatFloat(value, 'f', 1, 64), ".0")
	return text + " " + "KMGTPE"[unit:unit+1] + "iB"
}

// countText gives a number with a comma before each three digits.
func countText(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
