#!/bin/sh
# Records which server a kernel with ip_vs picks for each connection while servers are added, edited and deleted.
# Its output is edits.txt; the test replays every line of it against the models.
#
# Run as root in a throw-away virtual machine with ip_vs, ipvsadm and iproute2. PROBE is the probe of kernel-ipvs:
#   PROBE serve NAME tcp|udp ADDR:PORT    PROBE conn -short [-net udp] -n N -gap MS -src ADDR[+N],... -sport PORT -dst VIP:PORT [-hold -wait T]
#
# Lines:  service VIP SCHEDULER FLAGS | scheduler NAME | add SERVER WEIGHT [UPPER] | edit SERVER WEIGHT | delete SERVER
#         connect closed|hold SOURCES PORT: the server of each connection, ERR when refused
# A closed connection counts as inactive afterwards, a held one as active until its section ends. An edit takes
# the upper threshold away. "expire" waits until all connections of a service are gone (UDP's, which are closed ones).
# "pass" waits until lblcr_expiration, which is 86400 s where it is not set, has passed. "scheduler" with the name that
# the service has already changes nothing.
PROBE=${PROBE:-/opt/lvsprobe}
C4=198.51.100 R4=203.0.113 V4=192.0.2 C6=2001:db8:1: R6=2001:db8:2: V6=2001:db8:9:
N=0 PORT=10000 HELD= W=/tmp/edits T=-t NET=tcp

network() {
  modprobe ip_vs; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 \
    net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
  ip link add br0 type bridge; ip link set br0 up
  ip addr add $C4.1/24 dev br0; ip addr add $R4.254/24 dev br0; ip addr add $C6:1/64 dev br0 nodad; ip addr add $R6:fe/64 dev br0 nodad
  ip link add vip type dummy; ip link set vip up; ip route add local $V4.0/24 dev vip; ip -6 route add local $V6:/64 dev vip
  for n in c r1 r2 r3 r4; do
    ip netns add $n; ip link add v$n type veth peer name eth0 netns $n; ip link set v$n master br0 up
    ip netns exec $n sh -c 'sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_redirects=0 net.ipv6.conf.eth0.accept_redirects=0; ip link set lo up; ip link set eth0 up'
  done
  for i in 2 $(seq 101 140); do ip -n c addr add $C4.$i/24 dev eth0; done
  for i in 2 $(seq 101 120) abcd:1234:0:101 abcd:1234:0:102 abcd:1234:0:103 abcd:1234:0:104 ffff:1:2:3; do ip -n c addr add $C6:$i/64 dev eth0 nodad; done
  ip -n c route add default via $C4.1; ip -n c -6 route add default via $C6:1
  for i in 1 2 3 4; do
    ip -n r$i addr add $R4.$i/24 dev eth0; ip -n r$i addr add $R6:$i/64 dev eth0 nodad
    ip -n r$i route add default via $R4.254; ip -n r$i -6 route add default via $R6:fe
    ip netns exec r$i $PROBE serve r$i tcp :80 & ip netns exec r$i $PROBE serve r$i udp :80 &
  done
  sleep 2
}

# A fresh VIP for every section: a server that is added again to the same VIP has its old connections back.
release() { for p in $HELD; do kill $p; wait $p 2>/dev/null; done; HELD=; ipvsadm -C; }
section() { release; T=-t NET=tcp; echo "== $*"; }
service() { N=$((N+1)); VIP=$V4.$N; IP=$R4.; open "$@"; }
service6() { N=$((N+1)); VIP=[$V6:$1]; IP="$R6:"; shift; open "$@"; }
udp() { T=-u NET=udp; ipvsadm --set 0 0 3; service "$@"; }
expire() { echo expire; sleep 8; }
at() { VIP=$V4.$1; IP=$R4.; shift; open "$@"; }
open() { SCHED=$1; echo "service $VIP:80 $*"; shift; ipvsadm -A $T $VIP:80 -s $SCHED ${1:+-b $1}; }
scheduler() { echo "scheduler $1"; ipvsadm -E $T $VIP:80 -s $1; }
server() { case $IP in *:) echo "[$IP$1]:80";; *) echo "$IP$1:80";; esac; }
add() { echo "add r$1 $2${3:+ $3}"; ipvsadm -a $T $VIP:80 -r $(server $1) -m -w $2 ${3:+-x $3}; }
servers() { i=1; for w in $*; do add $i $w; i=$((i+1)); done; }
edit() { echo "edit r$1 $2"; ipvsadm -e $T $VIP:80 -r $(server $1) -m -w $2; }
delete() { echo "delete r$1"; ipvsadm -d $T $VIP:80 -r $(server $1); }
probe() { ip netns exec c $PROBE conn -short -net $NET -gap 10 -timeout 500ms -dst $VIP:80 "$@"; }
answers() { sed 's/ERR:connection/ERR/g; s/NOANSWER:read/ERR/g; s/ $//'; }
connect() { # closed|hold N [SOURCES]
  FROM=${3:-$C4.2}; PORT=$((PORT+100)); printf 'connect %s %s %s: ' $1 $FROM $PORT
  case $1 in
  closed) probe -n $2 -src $FROM -sport $PORT | answers;;
  hold) : >$W; ip netns exec c $PROBE conn -short -net $NET -gap 10 -timeout 500ms -dst $VIP:80 -n $2 -src $FROM -sport $PORT -hold -wait 600s >$W & HELD="$HELD $!"
    until [ "$(tail -c1 $W | wc -l)" = 1 ]; do sleep 0.05; done; answers <$W;;
  esac
}
# Servers that need not be there: UDP, and the list of connections tells who got which. Lines are as connect's.
unanswered() { # N [SOURCES]
  FROM=${2:-$C4.2}; PORT=$((PORT+100)); printf 'connect closed %s %s:' $FROM $PORT
  for again in 1 2; do probe -n $1 -src $FROM -sport $PORT -gap 1 -timeout 25ms >/dev/null 2>&1; done # some may be lost
  ipvsadm -Lnc | awk -v port=$PORT -v n=$1 '$1 == "UDP" { sub(/.*:/, "", $4); sub(/:80$/, "", $6); gsub(/[][]/, "", $6); sub(/.*[.:]/, "", $6); got[$4] = "r" $6 }
    END { for (i = port; i < port + n; i++) printf " %s", i in got ? got[i] : "ERR"; print "" }'
}
nobody() { T=-u NET=udp; ipvsadm --set 0 0 300; service "$@"; }
nobody6() { T=-u NET=udp; ipvsadm --set 0 0 300; service6 "$@"; }
many() { # FROM TO add|edit WEIGHT: in one go; weight mod6: the number modulo 6
  i=$1; while [ $i -le $2 ]; do w=$4; [ $w = mod6 ] && w=$((i%6)); echo "$3 r$i $w" >&3; echo "-${3%"${3#?}"} $T $VIP:80 -r $(server $i) -m -w $w"; i=$((i+1)); done 3>&1 >$W.rules
  ipvsadm -R <$W.rules
}
pass() { echo pass; sleep 7; }
network >/dev/null 2>&1
CLIENTS=$C4.101+24 CLIENTS6=$C6:101+8,$C6:abcd:1234:0:101+4,$C6:ffff:1:2:3

section rr: the server at the pointer is deleted
service rr; servers 1 1 1 1; connect closed 2; delete 3; connect closed 6
section rr: the first server is at the pointer and is deleted
service rr; servers 1 1 1 1; connect closed 1; delete 4; connect closed 5
section rr: the last server is at the pointer and is deleted
service rr; servers 1 1 1 1; connect closed 4; delete 1; connect closed 5
section rr: servers away from the pointer are deleted
service rr; servers 1 1 1 1; connect closed 2; delete 4; connect closed 3; delete 1; connect closed 5
section rr: the server at the pointer and the one before it are deleted
service rr; servers 1 1 1 1; connect closed 3; delete 3; delete 2; connect closed 4
section rr: the server at the pointer is deleted and added again
service rr; servers 1 1 1 1; connect closed 2; delete 3; add 3 1; connect closed 6
section rr: all are deleted and added again
service rr; servers 1 1; connect closed 1; delete 1; delete 2; connect closed 1; servers 1 1 1; connect closed 5
section rr: a server is added while the pointer is at the head
service rr; add 1 1; add 2 1; connect closed 1; delete 2; add 3 1; connect closed 3; add 4 1; connect closed 5
section rr: weights go to 0 and back
service rr; servers 1 1 1 1; connect closed 2; edit 2 0; connect closed 4; edit 4 0; connect closed 4; edit 2 7; connect closed 4; edit 4 1; connect closed 5
section rr: all weights go to 0 and back
service rr; servers 1 1 1; connect closed 2; edit 1 0; edit 2 0; edit 3 0; connect closed 2; edit 1 1; edit 2 1; edit 3 1; connect closed 4
section rr: upper thresholds
service rr; add 1 1 2; add 2 1 3; add 3 1 1; connect hold 8

section wrr: a server is added
service wrr; servers 5 3 1; connect closed 4; add 4 2; connect closed 15
section wrr: a heavier server is added
service wrr; servers 2 4 2; connect closed 3; add 4 8; connect closed 18
section wrr: the heaviest server is deleted
service wrr; servers 5 3 1 1; connect closed 6; delete 1; connect closed 12
section wrr: the step grows when a server is deleted
service wrr; servers 6 4 2 1; connect closed 6; delete 4; connect closed 14
section wrr: a weight goes to 0 and back
service wrr; servers 5 3 1 1; connect closed 5; edit 1 0; connect closed 9; edit 1 5; connect closed 14
section wrr: all weights go to 0 and back
service wrr; servers 5 3 1; connect closed 5; edit 1 0; edit 2 0; edit 3 0; connect closed 2; edit 1 5; edit 2 3; edit 3 1; connect closed 12
section wrr: a weight is edited to what it was
service wrr; servers 5 3 1 1; connect closed 6; edit 2 3; connect closed 12; edit 2 3; connect closed 12
section wrr: the step grows under way
service wrr; servers 6 4 2; connect closed 3; edit 1 12; connect closed 3; edit 2 8; connect closed 3; edit 3 4; connect closed 14
section wrr: the step is above 1 from the middle of a cycle on
service wrr; servers 9 5 3; connect closed 7; edit 2 6; connect closed 16
section wrr: large weights
service wrr; servers 100 10 1000; connect closed 20; edit 3 50; connect closed 20
section wrr: a service with servers becomes wrr, then rr, then wrr
service rr; servers 5 3 1 1; connect closed 2; scheduler wrr; connect closed 12; scheduler rr; connect closed 6; scheduler wrr; connect closed 4
section wrr: a delete and the same server again
service wrr; servers 3 2 1; connect closed 4; delete 2; add 2 2; connect closed 9
section wrr: upper thresholds
service wrr; add 1 5 3; add 2 3 4; add 3 1 2; connect hold 12; add 4 3; connect hold 6
section wrr: upper thresholds in the middle of a round, then one more server
service wrr; add 1 9 2; add 2 6 2; add 3 3 2; connect hold 5; edit 1 9; connect hold 2; add 4 12; connect hold 6
section wrr: upper thresholds, then one more server
service wrr; add 1 2 2; add 2 2 1; connect hold 5; add 3 4; connect hold 4; delete 3; connect hold 2
section wrr: refused from the middle of the list in a middle pass, then all usable again
udp wrr; add 1 3 1; add 2 2 2; add 3 1 1; connect closed 6; expire; connect closed 4
section wrr: refused from the middle of the list in the last pass, then all usable again
udp wrr; add 1 3 2; add 2 2 3; add 3 1 1; connect closed 8; expire; connect closed 6
section wrr: refused from the end of the list in the last pass, then all usable again
udp wrr; add 1 3 4; add 2 2 2; add 3 1 1; connect closed 9; expire; connect closed 7
section wrr: refused from the end of the list in the first pass, then all usable again
udp wrr; add 1 3 2; add 2 2 1; add 3 1 1; connect closed 6; expire; connect closed 4
section wrr: refused from the head, then all usable again
udp wrr; add 1 3 2; add 2 2 1; add 3 1 1; connect closed 4; add 4 0; connect closed 2; expire; connect closed 4
section wrr: a light server behind the last one is all that is left
udp wrr; add 1 1 4; add 2 3 3; add 3 3 2; connect closed 11; expire; connect closed 5

for s in lc wlc sed nq; do
  section $s: equal ratios
  service $s; servers 2 4 6 2; connect hold 28
  section $s: weights and servers change under held connections
  service $s; servers 5 3 1; connect hold 10; edit 1 1; connect hold 8; edit 2 0; connect hold 6; edit 2 3; connect hold 8
  add 4 2; connect hold 12; delete 3; connect hold 6; add 3 4; connect hold 10
  section $s: closed connections, then held ones
  service $s; servers 5 3 1 1; connect closed 9; connect hold 9; connect closed 6; edit 4 0; connect closed 6
  section $s: all weights 0, and upper thresholds
  service $s; servers 0 0 0; connect closed 2; add 4 3 4; edit 1 1; connect hold 12
done

section sh: a server is deleted and added again
service sh; servers 5 3 1 1; connect closed 24 $CLIENTS; delete 2; connect closed 24 $CLIENTS; add 2 3; connect closed 24 $CLIENTS
section sh: weights change, 0 keeps a slot, a large one takes all
service sh; servers 2 2 2 2; connect closed 24 $CLIENTS; edit 3 0; connect closed 24 $CLIENTS; edit 4 100; connect closed 24 $CLIENTS; edit 4 300; connect closed 6 $CLIENTS
section sh: no server
service sh; connect closed 2 $CLIENTS; add 1 0; connect closed 2 $CLIENTS; edit 1 1; connect closed 2 $CLIENTS
section sh sh-port: one client, many ports
service sh sh-port; servers 1 2 3 4; connect closed 24; delete 3; connect closed 24
section sh sh-fallback: two servers at 0
service sh sh-fallback; servers 1 1 1 1; edit 2 0; edit 3 0; connect closed 24 $CLIENTS; edit 2 1; edit 4 0; connect closed 24 $CLIENTS
section sh sh-fallback: all servers at 0
service sh sh-fallback; servers 0 0; connect closed 4 $CLIENTS
section sh sh-port,sh-fallback: two servers at 0
service sh sh-port,sh-fallback; servers 4 0 0 3; connect closed 24 $CLIENTS
section sh: upper thresholds
service sh; add 1 1 3; add 2 1 2; connect hold 12 $CLIENTS
section sh sh-fallback: upper thresholds
service sh sh-fallback; add 1 1 3; add 2 1 2; add 3 1; connect hold 12 $CLIENTS
section sh: IPv6
service6 1 sh; servers 5 3 1 1; connect closed 13 $CLIENTS6; delete 1; connect closed 13 $CLIENTS6
section sh sh-port: IPv6
service6 2 sh sh-port; servers 1 1 1 1; connect closed 24 $C6:2; connect closed 13 $CLIENTS6

section dh: many VIPs
for v in 201 202 203 210 222 239; do at $v dh; servers 5 3 1 1; connect closed 1; delete 2; connect closed 1; add 2 1; connect closed 1; edit 3 0; connect closed 1; edit 2 0; connect closed 1; done
section dh: no server
at 240 dh; connect closed 1; servers 1; connect closed 1
section dh: upper threshold
at 241 dh; add 1 1 2; add 2 1 2; connect hold 4
section dh: IPv6
for v in 11 12 13 a:0:0:1 ffff:1:2:3; do service6 $v dh; servers 1 1 1 1; connect closed 2 $CLIENTS6; delete 4; connect closed 2 $CLIENTS6; done

section fo: weights change under way
service fo; servers 5 3 1 1; connect closed 3; edit 1 0; connect closed 3; edit 2 0; connect closed 3; edit 1 9; connect hold 3
delete 1; connect closed 3; edit 3 2; connect closed 2; add 1 1; connect closed 2; edit 1 2; connect closed 2
section fo: equal weights
service fo; servers 2 4 4 2; connect closed 2; delete 3; connect closed 2; add 3 4; connect closed 2; edit 1 4; connect hold 4
section fo: all weights 0
service fo; servers 0 0; connect closed 2; edit 1 1; connect closed 2; edit 1 0; connect closed 2
section fo: upper thresholds
service fo; add 1 5 2; add 2 3 2; add 3 1 3; connect hold 9; edit 2 3; connect hold 2

section ovf: all are full, then more servers and more weight
service ovf; servers 2 1 1; connect hold 9; add 4 3; connect hold 6; edit 2 4; connect hold 5; delete 4; connect hold 2; add 4 5; connect hold 4
section ovf: equal weights
service ovf; servers 2 2 1 2; connect hold 13
section ovf: the weight falls below the connections
service ovf; servers 4 2 1; connect hold 4; edit 1 1; connect hold 3; edit 1 6; connect hold 6; edit 1 0; connect hold 3
section ovf: closed connections do not count
service ovf; servers 1 0 1; connect closed 4; connect hold 3; connect closed 3; edit 2 1; connect closed 3; connect hold 4
section ovf: upper thresholds
service ovf; add 1 5 2; add 2 3 2; add 3 1; connect hold 8

ROUND=$C4.101+40
section mh: a server is deleted and added again
nobody mh; servers 5 3 1 1; unanswered 40 $ROUND; delete 2; unanswered 40 $ROUND; add 2 3; unanswered 40 $ROUND; delete 1; add 1 5; unanswered 40 $ROUND
section mh: a weight goes to 0, and to another
nobody mh; servers 5 3 2 1; edit 1 0; unanswered 40 $ROUND; edit 1 2; unanswered 40 $ROUND; edit 2 0; edit 3 0; unanswered 40 $ROUND; edit 4 7; unanswered 40 $ROUND; edit 2 1; unanswered 40 $ROUND
section mh: a server is added with weight 0
nobody mh; servers 5 0 1; unanswered 40 $ROUND; edit 2 4; unanswered 40 $ROUND; edit 2 0; unanswered 40 $ROUND; delete 2; add 2 0; unanswered 40 $ROUND; add 4 0; edit 4 1; unanswered 40 $ROUND
section mh: no server, and none above 0
nobody mh; unanswered 2; add 1 0; unanswered 2; edit 1 1; unanswered 2; edit 1 0; unanswered 2; delete 1; unanswered 2
section mh mh-port: one client, many ports
nobody mh mh-port; servers 1 2 3 4; unanswered 60; delete 3; unanswered 60; edit 4 0; unanswered 60
section mh mh-fallback: several at 0
nobody mh mh-fallback; servers 3 2 2 1; edit 1 0; unanswered 40 $ROUND; edit 2 0; unanswered 40 $ROUND; edit 3 0; unanswered 40 $ROUND; edit 4 0; unanswered 3 $ROUND; edit 3 5; unanswered 40 $ROUND
section mh mh-fallback: added with weight 0
nobody mh mh-fallback; servers 0 0 4; unanswered 20 $ROUND; edit 3 0; edit 2 1; unanswered 20 $ROUND
section mh mh-port,mh-fallback: two servers at 0
nobody mh mh-port,mh-fallback; servers 4 2 2 3; edit 2 0; edit 3 0; unanswered 60
section mh: equal and large weights
nobody mh; servers 300 300 300; unanswered 40 $ROUND; edit 3 600; unanswered 40 $ROUND; edit 2 450; unanswered 40 $ROUND
section mh: very unequal weights
nobody mh; servers 1 100000 7; unanswered 40 $ROUND; edit 1 64; unanswered 40 $ROUND; edit 2 63; unanswered 40 $ROUND; edit 3 64; edit 2 127; unanswered 40 $ROUND; edit 2 2147483647; unanswered 40 $ROUND
section mh mh-port: 120 servers
nobody mh mh-port; many 1 120 add mod6; unanswered 90; edit 60 0; edit 61 50; delete 62; edit 63 0; unanswered 90
section mh mh-port,mh-fallback: 150 servers, most at 0
nobody mh mh-port,mh-fallback; many 1 150 add 100; unanswered 90; many 1 140 edit 0; unanswered 90
section mh: a service whose weights were changed becomes mh, then rr, then mh
nobody rr; servers 5 3 1 1; edit 1 0; edit 2 0; edit 2 4; delete 3; add 3 0; scheduler mh; unanswered 40 $ROUND; scheduler rr; edit 1 2; edit 1 0; scheduler mh; unanswered 40 $ROUND
section mh: IPv6
C6S=$C6:101+9,$C6:110+10,$C6:abcd:1234:0:101+4,$C6:ffff:1:2:3
nobody6 31 mh; for i in 2 3 4 5 6; do add $i $i; done; unanswered 24 $C6S; delete 4; edit 6 0; unanswered 24 $C6S
section mh mh-port,mh-fallback: IPv6
nobody6 32 mh mh-port,mh-fallback; for i in 2 3 4 5; do add $i 2; done; edit 3 0; unanswered 50 $C6:2
section mh: upper thresholds
service mh; add 1 1 3; add 2 1 2; connect hold 12 $CLIENTS
section mh mh-fallback: upper thresholds
service mh mh-fallback; add 1 1 3; add 2 1 2; add 3 1; connect hold 12 $CLIENTS

for s in lblc lblcr; do
  section $s: held connections
  service $s; servers 5 3 1 1; connect hold 30
  section $s: equal weights
  service $s; servers 2 2 2 2; connect hold 24
  section $s: closed connections, then held ones
  service $s; servers 2 3 1; connect closed 5; connect hold 7; connect closed 3; connect hold 5
  section $s: weights change under held connections
  service $s; servers 4 2 2; connect hold 4; edit 3 0; connect hold 4; edit 3 3; connect hold 4; edit 1 1; connect hold 6; edit 2 9; connect hold 6; edit 2 0; connect hold 4; edit 2 20; connect hold 6
  section $s: the cached server goes to 0 and back
  service $s; servers 1 1 1; connect closed 2; edit 3 0; connect closed 2; edit 3 1; connect closed 2; edit 2 0; connect closed 2
  section $s: the cached server is deleted and added again
  service $s; servers 3 3 3; connect closed 2; delete 3; connect closed 2; add 3 3; connect hold 5; delete 2; connect hold 4; add 2 2; connect hold 6
  section $s: the cached server is deleted, and added again before the next connection
  service $s; servers 3 3 3; connect closed 6; delete 3; add 3 3; connect closed 3; add 4 3; connect closed 3; delete 3; connect closed 2; add 3 3; connect closed 2
  section $s: another server is added while the cached one is in use
  service $s; servers 2 2; connect hold 2; add 3 2; connect hold 2; add 4 5; connect hold 8
  section $s: no server, and all weights 0
  service $s; connect closed 1; servers 0 0; connect closed 2; edit 1 2; connect hold 4; edit 2 1; connect hold 4; edit 1 0; edit 2 0; connect hold 2
  section $s: the same scheduler again, and another and back
  service $s; servers 2 2 2; connect closed 3; scheduler $s; connect closed 2; scheduler rr; connect closed 2; scheduler $s; connect closed 4; connect hold 5
  section $s: upper thresholds
  service $s; add 1 4 3; add 2 4 3; add 3 4 3; connect hold 12
done
sysctl -qw net.ipv4.vs.lblcr_expiration=5
section lblcr: the set is full, then its most loaded server goes
service lblcr; servers 1 1 1; connect hold 9; pass; connect hold 3; pass; connect hold 3; pass; connect hold 2
section lblcr: the most loaded server goes, and comes back
service lblcr; servers 4 2 1 3; connect hold 14; edit 1 8; pass; connect hold 4; pass; connect hold 6; pass; connect closed 3; connect hold 12
section lblcr: a server of weight 0 does not go
service lblcr; servers 2 2 2; connect hold 9; edit 2 0; pass; connect closed 2; pass; connect closed 2; edit 2 2; connect closed 4
section lblcr: a deleted server goes
service lblcr; servers 2 2 2; connect hold 9; delete 1; pass; connect closed 2; add 1 2; connect closed 4
release
