package realserver

// The programs are built with clang 19 and committed, so that building Drover needs Go alone. The
// headers are those of the director's.

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -go-package realserver -type outcome -cflags "-O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-unused-function -I ../datapath/bpf -I ../datapath/bpf/headers -I/usr/include/x86_64-linux-gnu" server bpf/server.bpf.c
