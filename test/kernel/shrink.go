package kernel

import "slices"

// shrink gives a shorter list of steps that still fails: parts are left out, first large ones and then
// smaller ones, as long as fails says so and no more than trials times (each takes its time).
func shrink(lines []string, trials int, fails func([]string) bool) []string {
	for size := len(lines) / 2; size > 0 && trials > 0; {
		shorter := false
		for from := 0; from < len(lines) && trials > 0; {
			to := min(from+size, len(lines))
			without := slices.Concat(lines[:from], lines[to:])
			trials--
			if len(without) > 0 && fails(without) {
				lines, shorter = without, true
			} else {
				from = to
			}
		}
		if size > 1 {
			size /= 2
		} else if !shorter {
			break
		}
	}
	return lines
}
