// Package http measures requests through the lab on this machine: to a server directly, through Drover,
// and through what else Linux has to balance TCP with.
//
// It is built with the tag bench; make bench-http builds drover and runs it.
package http
