package http

import (
	"fmt"
	"regexp"
	"strconv"
)

var (
	wrkSpeed  = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrkErrors = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkOther  = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
)

// readWrk reads what wrk prints: requests per second, and how many failed or were answered with an error.
// wrk names errors only where there are some.
func readWrk(output string) (speed float64, failed int, err error) {
	found := wrkSpeed.FindStringSubmatch(output)
	if found == nil {
		return 0, 0, fmt.Errorf("wrk tells no speed:\n%s", output)
	}
	if speed, err = strconv.ParseFloat(found[1], 64); err != nil {
		return 0, 0, fmt.Errorf("read wrk's speed: %w", err)
	}
	for _, pattern := range []*regexp.Regexp{wrkErrors, wrkOther} {
		for i, text := range pattern.FindStringSubmatch(output) {
			if i == 0 {
				continue // the whole match
			}
			n, err := strconv.Atoi(text)
			if err != nil {
				return 0, 0, fmt.Errorf("read wrk's errors: %w", err)
			}
			failed += n
		}
	}
	return speed, failed, nil
}
