package datapath

import (
	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// refusal finds the driver's own words for refusing a program, as "Peer MTU is too large to set XDP".
// bpf(2) answers an attach with an errno alone, so the same is asked for again over rtnetlink, which
// has extended acknowledgements. mode is one of XDP_FLAGS_*_MODE. Without words it gives err back.
func refusal(program *ebpf.Program, index, mode int, err error) error {
	if told := setXDP(index, program.FD(), mode|unix.XDP_FLAGS_UPDATE_IF_NOEXIST); told != nil {
		return told
	}
	// It was accepted this time, without a link: take it away again.
	if undo := setXDP(index, -1, mode); undo != nil {
		return undo
	}
	return err
}

// setXDP sets (fd -1: removes) an interface's XDP program over rtnetlink. Its error carries the
// kernel's message, if there was one.
func setXDP(index, fd, flags int) error {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer socket.Close()
	if err := socket.SetExtAck(true); err != nil {
		return err
	}
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	request.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	xdp := nl.NewRtAttr(unix.NLA_F_NESTED|unix.IFLA_XDP, nil)
	xdp.AddRtAttr(nl.IFLA_XDP_FD, nl.Uint32Attr(uint32(int32(fd))))
	xdp.AddRtAttr(nl.IFLA_XDP_FLAGS, nl.Uint32Attr(uint32(flags)))
	request.AddData(xdp)
	_, err = request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
