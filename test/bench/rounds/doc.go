// Package rounds is what the benchmarks have in common: which cases to run and how often, medians with
// their spread, and the table that is printed, with a line of JSON for programs.
package rounds
