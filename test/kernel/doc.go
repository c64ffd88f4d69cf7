// Package kernel tests Drover on Linux 6.1, the oldest kernel that it supports: every BPF object loads
// there within the verifier's limits, and connections go through the data path.
//
// The tests are built with the tag kernel61 and run in a virtual machine; make test-kernel does both.
// On another kernel they say nothing about 6.1, so nothing else runs them.
package kernel
