// Package kernel tests Drover on Linux 6.1, the oldest kernel that it supports: every BPF object loads
// there within the verifier's limits, connections go through the data path, and the data path does what the
// kernel's own ip_vs does.
//
// For that, both directors are in one machine, each in a network namespace with the same addresses
// (network.go). They get the same steps (step.go): made-up commands (commands.go) and connections
// (traffic.go), recorded ones (recordings.go), and cases that were kept (testdata/cases). What they print,
// send on and list is compared after each (compare.go, seen.go); a case that differs is cut short (shrink.go)
// and printed as a file to keep. What Drover does not have yet is in one list (notyet.go).
//
// The tests are built with the tag kernel61 and run in a virtual machine; make test-kernel does both.
// On another kernel they say nothing about 6.1, so nothing else runs them.
package kernel
