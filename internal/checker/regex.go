package checker

import (
	"fmt"
	"regexp"
)

// Compile makes the expression ready. The error says what Go's regexp package (RE2) does not understand of it.
func (r *Regex) Compile() error {
	pattern := r.Pattern
	if r.Flags != "" {
		pattern = "(?" + r.Flags + ")" + pattern
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("%w (keepalived's expressions are PCRE, Drover's RE2: no back references, no lookaround)", err)
	}
	r.compiled = compiled
	return nil
}

// holds tells whether a body is as wanted.
func (r *Regex) holds(body []byte) bool {
	from := min(r.MinOffset, len(body))
	at := r.compiled.FindIndex(body[from:])
	found := at != nil && (r.MaxOffset == 0 || from+at[0] <= r.MaxOffset)
	return found != r.Not
}
