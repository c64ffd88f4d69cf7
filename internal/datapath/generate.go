package datapath

// The programs are built with clang 19 and committed, so that building Drover needs Go alone.
// "make generate" installs the compiler; CI builds them again and fails on a difference.

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -go-package datapath -type block_head -type outcome -type scheduler -type life -type tune -type event -type turn -type draw -type marked -cflags "-O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-unused-function -I bpf/headers -I/usr/include/x86_64-linux-gnu" director bpf/director.bpf.c

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -go-package datapath -tags bench -cflags "-O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -I bpf/headers -I/usr/include/x86_64-linux-gnu" bench bpf/bench.bpf.c
