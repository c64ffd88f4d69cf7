package lab

import (
	"errors"
	"net"
	"strconv"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// An echoSocket receives datagrams with the address they were sent to, and answers from it. A plain
// socket would answer from the server's own address, and the client of a VIP would not know it.
type echoSocket interface {
	receive(buffer []byte) (n int, to net.IP, from net.Addr, err error)
	send(data []byte, from net.IP, to net.Addr) error
	Close() error
}

// echo answers each datagram with the server's name, a blank and what came, until the socket fails.
func echo(socket echoSocket, name string) error {
	buffer := make([]byte, 1<<16)
	for {
		n, asked, client, err := socket.receive(buffer)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		// A client that is gone, or an answer that is too long, is the client's loss alone.
		_ = socket.send(append([]byte(name+" "), buffer[:n]...), asked, client)
	}
}

type echo4 struct{ *ipv4.PacketConn }

func listenEcho4() (echoSocket, error) {
	conn, err := net.ListenPacket("udp4", ":"+strconv.Itoa(udpPort))
	if err != nil {
		return nil, err
	}
	socket := echo4{ipv4.NewPacketConn(conn)}
	if err := socket.SetControlMessage(ipv4.FlagDst, true); err != nil {
		conn.Close()
		return nil, err
	}
	return socket, nil
}

func (s echo4) receive(buffer []byte) (int, net.IP, net.Addr, error) {
	n, control, from, err := s.ReadFrom(buffer)
	if err != nil {
		return 0, nil, nil, err
	}
	return n, control.Dst, from, nil
}

func (s echo4) send(data []byte, from net.IP, to net.Addr) error {
	_, err := s.WriteTo(data, &ipv4.ControlMessage{Src: from}, to)
	return err
}

type echo6 struct{ *ipv6.PacketConn }

func listenEcho6() (echoSocket, error) {
	conn, err := net.ListenPacket("udp6", ":"+strconv.Itoa(udpPort))
	if err != nil {
		return nil, err
	}
	socket := echo6{ipv6.NewPacketConn(conn)}
	if err := socket.SetControlMessage(ipv6.FlagDst, true); err != nil {
		conn.Close()
		return nil, err
	}
	return socket, nil
}

func (s echo6) receive(buffer []byte) (int, net.IP, net.Addr, error) {
	n, control, from, err := s.ReadFrom(buffer)
	if err != nil {
		return 0, nil, nil, err
	}
	return n, control.Dst, from, nil
}

func (s echo6) send(data []byte, from net.IP, to net.Addr) error {
	_, err := s.WriteTo(data, &ipv6.ControlMessage{Src: from}, to)
	return err
}
