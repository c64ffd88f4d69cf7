package ipvsadm

import (
	"fmt"
	"math"
	"strings"
)

const blanks = " \t\n\v\f\r"

// parseNumber reads a decimal number as strtol(3) does, with blanks and a sign before it, and
// accepts it from least to most.
func parseNumber(s string, least, most int64) (int64, bool) {
	n, rest := leadingNumber(s)
	if rest != "" || s == rest || n < least || n > most {
		return 0, false
	}
	return n, true
}

// leadingNumber reads the number at the beginning of s and gives what follows it: all of s if
// there is none. A number out of range is the nearest in range.
func leadingNumber(s string) (int64, string) {
	digits := strings.TrimLeft(s, blanks)
	negative := strings.HasPrefix(digits, "-")
	if negative || strings.HasPrefix(digits, "+") {
		digits = digits[1:]
	}
	n, i := int64(0), 0
	for i < len(digits) && '0' <= digits[i] && digits[i] <= '9' {
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64
		} else {
			n = n*10 + int64(digits[i]-'0')
		}
		i++
	}
	if i == 0 {
		return 0, s
	}
	if negative {
		n = -n
	}
	return n, digits[i:]
}

// largeNumber prints a counter in nine columns, by ipvsadm's units: K, M, G and T are thousands,
// and from 100 million on. exact prints all of it.
func largeNumber(n uint64, exact bool) string {
	switch {
	case exact:
		return fmt.Sprintf("%9s", fmt.Sprintf(" %d", n))
	case n < 1e8:
		return fmt.Sprintf("%9d", n)
	case n < 1e9:
		return fmt.Sprintf("%8dK", n/1e3)
	case n < 1e11:
		return fmt.Sprintf("%8dM", n/1e6)
	case n < 1e14:
		return fmt.Sprintf("%8dG", n/1e9)
	}
	return fmt.Sprintf("%8dT", n/1e12)
}
