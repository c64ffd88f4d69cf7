#!/usr/bin/env bash
# run.sh [FLAG...]: run this folder's tests on Linux 6.1, in a virtual machine without KVM.
#
# It builds the test and drover as static binaries, boots the virtual machine with the folder that
# holds them, passes its output through, and closes with "N passed, N failed". The exit status is 0
# only if tests ran and all passed, without FLAGs in at least 1,000 steps. FLAGs are the test binary's,
# such as -test.run=TestCommands.
#
#   DROVER_KERNEL_SEED     what the made-up cases begin with (by chance; it is printed)
#   DROVER_KERNEL_VM       the script that boots the machine (../shared/kernel-ipvs/ipvs-vm)
#   DROVER_KERNEL_TIMEOUT  seconds that the machine may run (900)
set -euo pipefail
cd "$(dirname "$0")/../.."

vm=${DROVER_KERNEL_VM:-../shared/kernel-ipvs/ipvs-vm}
timeout=${DROVER_KERNEL_TIMEOUT:-900}
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ipvs-vm

if [ ! -x "$vm" ]; then
  echo "test-kernel: no virtual machine at $vm: it comes with the project's shared folder, beside the" \
    "repository; DROVER_KERNEL_VM names another place" >&2
  exit 1
fi

# The kernel's package is fetched once. apt must know of it, and its present version.
if [ ! -e "$cache/kernel.current" ]; then
  echo "test-kernel: fetching Debian's kernel 6.1 once (70 MB)" >&2
  [ "$(id -u)" != 0 ] || apt-get update -qq >/dev/null 2>&1 || true
fi

seed=${DROVER_KERNEL_SEED:-$((RANDOM * 32768 + RANDOM))}
share=$(mktemp -d)
trap 'rm -rf "$share"' EXIT
CGO_ENABLED=0 go build -trimpath -o "$share/drover" ./cmd/drover
CGO_ENABLED=0 go test -c -tags kernel61 -o "$share/kernel.test" ./test/kernel
cp -r test/kernel/testdata "$share/testdata"
cp -r internal/ipvsadm/testdata/{40-golden.txt,50-errors.txt,state} "$share/testdata/recordings/"

status=0
"$vm" --share-ro "$share" --with "$(command -v curl)" --with "$(command -v ethtool)" --with "$(command -v nft)" --with "$(command -v keepalived)" --with "$(command -v stdbuf)" \
  --with /usr/libexec/coreutils/libstdbuf.so --mem 2048 --timeout "$timeout" test/kernel/guest.sh "$seed" "$@" |
  tee "$share/output" || status=$?

passed=$(grep -c '^ *--- PASS:' "$share/output" || true)
failed=$(grep -c '^ *--- FAIL:' "$share/output" || true)
if [ "$status" != 0 ] && [ "$failed" = 0 ]; then
  echo "test-kernel: the tests did not finish: exit status $status" >&2
  failed=1
elif [ "$passed" = 0 ] && [ "$failed" = 0 ]; then
  echo "test-kernel: no test ran" >&2
  failed=1
fi
steps=$(sed -n 's/^\([0-9]*\) steps, seed .*/\1/p' "$share/output")
if [ "$#" = 0 ] && [ "$failed" = 0 ] && [ "${steps:-0}" -lt 1000 ]; then
  echo "test-kernel: ${steps:-0} steps were compared, expected at least 1000" >&2
  failed=1
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
