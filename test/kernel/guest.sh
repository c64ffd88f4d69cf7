#!/bin/sh
# guest.sh: what run.sh has the virtual machine do. /host is the folder with the two binaries; they are
# copied first, because the shared folder is read over an emulated bus.
set -eu
mkdir -p /opt/drover
cp /host/drover /host/kernel.test /opt/drover/
cd /opt/drover
echo "Linux $(uname -r), booted in $(cat /run/boot-seconds) s"
exec env DROVER=/opt/drover/drover ./kernel.test -test.v -test.count=1 -test.timeout=270s
