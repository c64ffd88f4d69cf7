#!/bin/sh
# record.sh VM FILE: record in FILE (gzip) what the ip_vs of a virtual machine does with the frames of the tunnel
# tests. VM is the script that boots it (DROVER_KERNEL_VM in test/kernel/run.sh). Run it in this folder.
set -eu
vm=$1 file=$2
share=$(mktemp -d)
trap 'rm -rf "$share"' EXIT
(cd ../.. && CGO_ENABLED=0 go test -c -tags record -o "$share/record.test" .)
cat >"$share/guest.sh" <<'GUEST'
#!/bin/sh
set -eu
modprobe ip_vs ip_vs_rr
modprobe veth || true
sysctl -qw net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=100000
cp /host/record.test /tmp/record.test
mkdir -p /tmp/bpf
TUNNEL_RECORDING=/host/recording exec /tmp/record.test -test.run 'TestRecordTunnels$' -test.v -test.timeout 500s
GUEST
"$vm" --share "$share" --with "$(command -v ethtool)" --timeout 550 "$share/guest.sh"
gzip -9n -c "$share/recording" >"$file"
