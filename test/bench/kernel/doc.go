// Package kernel measures Drover beside ip_vs, in one guest with both: the same frames through either,
// counted where they arrive, and the same rules restored by either's ipvsadm.
//
// It is built with the tag bench and run in a virtual machine: make bench-kernel does both.
package kernel

// The programs are built with clang 19 and committed, as those of the data path are.

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -go-package kernel -tags bench -type arrival -cflags "-O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -I ../../../internal/datapath/bpf/headers -I/usr/include/x86_64-linux-gnu" frames bpf/frames.bpf.c
