#!/usr/bin/env bash
# run.sh: measure Drover beside ip_vs in a virtual machine without KVM.
#
# It builds this folder's benchmarks and drover as static binaries, boots the virtual machine with the
# folder that holds them, and passes its output through. The exit status is that of the benchmarks.
#
#   DROVER_KERNEL_VM  the script that boots the machine (../shared/kernel-ipvs/ipvs-vm)
#   DROVER_BENCH, DROVER_BENCH_ROUNDS, DROVER_BENCH_SCALE, DROVER_BENCH_JSON
#                     as in test/bench/rounds/options.go
set -euo pipefail
cd "$(dirname "$0")/../../.."

vm=${DROVER_KERNEL_VM:-../shared/kernel-ipvs/ipvs-vm}
timeout=600 # seconds
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ipvs-vm

if [ ! -x "$vm" ]; then
  echo "bench-kernel: no virtual machine at $vm: it comes with the project's shared folder, beside the" \
    "repository; DROVER_KERNEL_VM names another place" >&2
  exit 1
fi

# The kernel's package is fetched once. apt must know of it, and its present version.
if [ ! -e "$cache/kernel.current" ]; then
  echo "bench-kernel: fetching Debian's kernel 6.1 once (70 MB)" >&2
  [ "$(id -u)" != 0 ] || apt-get update -qq >/dev/null 2>&1 || true
fi

share=$(mktemp -d)
trap 'rm -rf "$share"' EXIT
CGO_ENABLED=0 go build -trimpath -o "$share/drover" ./cmd/drover
CGO_ENABLED=0 go test -c -tags bench -o "$share/bench.test" ./test/bench/kernel

given=()
for name in DROVER_BENCH DROVER_BENCH_ROUNDS DROVER_BENCH_SCALE DROVER_BENCH_JSON; do
  [ -z "${!name:-}" ] || given+=("$name=${!name}")
done
"$vm" --share-ro "$share" --mem 2048 --timeout "$timeout" test/bench/kernel/guest.sh "${given[@]}"
