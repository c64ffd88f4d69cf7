#!/bin/sh
# guest.sh SEED [FLAG...]: what run.sh has the virtual machine do. FLAGs are the test's. /host is the folder
# with the two binaries and the recordings; they are copied first, because the shared folder is read over an
# emulated bus.
set -eu
seed=$1
shift
mkdir -p /opt/drover
cp -r /host/. /opt/drover/
cd /opt/drover
modprobe ip_vs
# What the initial namespace limits for all: the directors answer with ICMP as often as they are asked.
echo 1000000 > /proc/sys/net/ipv4/icmp_msgs_per_sec
echo 1000000 > /proc/sys/net/ipv4/icmp_msgs_burst
echo "Linux $(uname -r), booted in $(cat /run/boot-seconds) s; DROVER_KERNEL_SEED=$seed"
export DROVER=/opt/drover/drover DROVER_KERNEL_SEED="$seed"
# The tests of the test's own parts say nothing about this kernel: they run on the host, in make test.
exec ./kernel.test -test.v -test.count=1 -test.timeout=870s \
	-test.skip='^Test(Generators|LeftOut|Shrink|Steps|Runs|Differences)$' "$@"
