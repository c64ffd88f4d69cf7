# Every target that needs programs installs them first: scripts/setup.sh names what is missing, needs
# root only for that, and is silent where nothing is.

export CGO_ENABLED := 0
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

setup := scripts/setup.sh
golangci_lint := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
llvm := 19

# PROGRAM=PACKAGE, or a PACKAGE alone
needs_demo := ip=iproute2 curl=curl
needs_test := ip=iproute2 nginx=nginx curl=curl tcpdump=tcpdump nft=nftables iptables-legacy=iptables vsftpd=vsftpd keepalived=keepalived \
	mariadbd=mariadb-server
needs_bench := ip=iproute2
needs_bench-kernel := qemu-system-x86_64=qemu-system-x86 busybox-static cpio=cpio depmod=kmod \
	ipvsadm=ipvsadm ip=iproute2
needs_bench-http := ip=iproute2 curl=curl wrk=wrk nft=nftables haproxy=haproxy nginx=nginx \
	/usr/lib/nginx/modules/ngx_stream_module.so=libnginx-mod-stream
needs_generate := clang-$(llvm)=clang-$(llvm) llvm-strip-$(llvm)=llvm-$(llvm) \
	/usr/include/linux/bpf.h=linux-libc-dev
needs_kernel := qemu-system-x86_64=qemu-system-x86 busybox-static cpio=cpio depmod=kmod \
	ipvsadm=ipvsadm ip=iproute2 curl=curl stdbuf=coreutils ethtool=ethtool nft=nftables keepalived=keepalived
needs_lint := git=git

# what bpf2go writes
generated := '*_bpfel.go' '*_bpfel.o'

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

.PHONY: build
build: ## build bin/drover, one static binary
	go build -trimpath -o bin/drover ./cmd/drover

.PHONY: demo
demo: root setup-demo build ## show a cluster forwarding HTTP by DR, by NAT and by TUN (root)
	bin/drover demo

.PHONY: demo-ha
demo-ha: root setup-demo build ## show a server die under load, and come back (root)
	bin/drover demo ha

.PHONY: test
test: root setup-test ## run the tests on this machine, network namespaces included (root)
	go vet ./...
	go test -p 1 -count=1 -timeout=10m ./...

.PHONY: test-kernel
test-kernel: setup-kernel ## hold the data path against ip_vs on Linux 6.1, in a virtual machine
	test/kernel/run.sh

.PHONY: bench
bench: root setup-bench ## measure the data path, as ratios in one run (root)
	go test -v -tags bench -count=1 -timeout 30m -run "^TestBench" ./internal/datapath

.PHONY: bench-kernel
bench-kernel: setup-bench-kernel ## measure Drover beside ip_vs, in a virtual machine
	test/bench/kernel/run.sh

.PHONY: bench-http
bench-http: root setup-bench-http build ## measure HTTP through Drover and through others (root)
	DROVER=$(CURDIR)/bin/drover go test -v -tags bench -count=1 -timeout 10m -run "^TestBench$$" ./test/bench/http

.PHONY: generate
generate: setup-generate ## compile the BPF programs and their Go bindings
	go generate ./...

.PHONY: generate-check
generate-check: generate ## regenerate, and fail where git knows another result
	@git diff --exit-code --stat -- $(generated) || \
		{ echo "generate-check: the committed BPF objects are not what the sources give: commit what make generate wrote" >&2; exit 1; }
	@new=$$(git ls-files --others --exclude-standard -- $(generated)) && [ -z "$$new" ] || \
		{ echo "generate-check: not committed:" $$new >&2; exit 1; }

.PHONY: lint
lint: setup-lint ## check style, layers and common mistakes
	$(golangci_lint) run

.PHONY: clean
clean: ## remove what build made
	rm -rf bin

# setup-X installs what target X needs; setup-all is for a machine that will run them all.
.PHONY: setup-all
setup-all:
	@$(setup) $(needs_demo) $(needs_test) $(needs_bench) $(needs_bench-kernel) \
		$(needs_bench-http) $(needs_generate) $(needs_kernel) $(needs_lint)

setup-%:
	@$(setup) $(needs_$*)

.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo "make: this target makes network namespaces and loads BPF programs: run it as root" >&2; exit 1; }
