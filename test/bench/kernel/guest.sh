#!/bin/sh
# guest.sh VARIABLE=VALUE...: what run.sh has the virtual machine do. /host is the folder with the two
# binaries; they are copied first, because the shared folder is read over an emulated bus.
set -eu
mkdir -p /opt/drover
cp /host/drover /host/bench.test /opt/drover/
cd /opt/drover
echo "Linux $(uname -r), booted in $(cat /run/boot-seconds) s"
modprobe ip_vs
echo -1 >/proc/sys/kernel/sched_rt_runtime_us # ksoftirqd, which the benchmark puts first, is not held back
dmesg | sed -n 's/.*\(IPVS: Connection hash table.*\)/\1/p'
exec env DROVER=/opt/drover/drover "$@" ./bench.test -test.v -test.count=1 -test.timeout=560s
