package datapath

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/vishvananda/netlink"

	"drover/internal/lvs"
)

// A Question names a packet that may come in.
type Question struct {
	Protocol  lvs.Protocol
	From, To  netip.AddrPort
	Interface string // "": where the way back leads, else the first that is attached
	Flags     string // of TCP, a letter each: S F R A; "": S
}

// An Explanation says what becomes of the packet, and why. Nothing has been changed by asking.
type Explanation struct {
	Interface string
	Outcome   Counter
	Mark      uint32
	Marks     []lvs.MarkRule    // that it matched, in their order
	Access    *lvs.AccessRule   // that judged it; nil: none
	Known     *lvs.Connection   // the connection that it belongs to; nil: none
	Begun     *lvs.Connection   // the one that it would begin; nil: none
	Service   *lvs.ServiceState // nil: none
	Kept      bool              // persistence chose the server, not the scheduler
	Chosen    netip.AddrPort    // server; the zero value: none
	Choices   []Choice          // of a new connection
	Device    string            // that the packet leaves by; "": it does not
	Frame     []byte            // as it would leave
}

// A Choice is a server of the service, and why it was chosen or not.
type Choice struct {
	lvs.Destination
	Overloaded bool
	Why        string
}

// Explain runs the real programs on a copy of the state.
func (t *Table) Explain(q Question) (*Explanation, error) {
	if lvs.FamilyOf(q.From.Addr()) != lvs.FamilyOf(q.To.Addr()) {
		return nil, errors.New("source and destination are of different families")
	}
	in, err := q.ingress(t)
	if err != nil {
		return nil, err
	}
	objects, err := t.copyMaps()
	if err != nil {
		return nil, err
	}
	defer objects.Close() //nolint:errcheck // a copy
	copied, err := newTable(&objects.directorMaps)
	if err != nil {
		return nil, err
	}
	defer copied.unmap() //nolint:errcheck // a copy
	e := &Explanation{Interface: in.Name}
	if e.Known, err = copied.connectionOf(q); err != nil {
		return nil, err
	}
	before, err := copied.hits()
	if err != nil {
		return nil, err
	}
	note, frame, err := copied.play(objects, q, in)
	if err != nil {
		return nil, err
	}
	after, err := copied.hits()
	if err != nil {
		return nil, err
	}
	e.Marks, e.Access = after.since(before)
	if err := copied.tell(e, q, note, frame); err != nil {
		return nil, err
	}
	return e, t.explainService(e, q)
}

// ruleHits are the rules, as they have been hit by now.
type ruleHits struct {
	marks  []lvs.MarkRule
	access []lvs.AccessRule
}

func (t *Table) hits() (h ruleHits, err error) {
	if h.marks, err = t.Marks(); err != nil {
		return h, err
	}
	h.access, err = t.AccessRules()
	return h, err
}

// since gives the rules that were hit in between: of access rules one judges a packet at most.
func (h ruleHits) since(before ruleHits) (marks []lvs.MarkRule, access *lvs.AccessRule) {
	for i, r := range h.marks {
		if r.Hits != before.marks[i].Hits {
			marks = append(marks, r)
		}
	}
	for i, r := range h.access {
		if r.Hits != before.access[i].Hits {
			access = &h.access[i]
		}
	}
	return marks, access
}

// ingress finds the interface that the packet comes in by.
func (q Question) ingress(t *Table) (*net.Interface, error) {
	if q.Interface != "" {
		in, err := net.InterfaceByName(q.Interface)
		if err != nil {
			return nil, fmt.Errorf("interface %q: there is none of that name here", q.Interface)
		}
		return in, nil
	}
	routes, err := netlink.RouteGet(q.From.Addr().AsSlice())
	if err == nil && len(routes) > 0 && routes[0].LinkIndex > loopbackIndex {
		return net.InterfaceByIndex(routes[0].LinkIndex)
	}
	rows, err := deviceRows(t.maps)
	if err != nil {
		return nil, err
	}
	for _, index := range rows {
		if index != 0 {
			return net.InterfaceByIndex(int(index))
		}
	}
	return nil, errors.New("no interface is known to the data path")
}

// play gives the packet to a copy's entry program, and what it tells of it.
func (t *Table) play(objects *directorObjects, q Question, in *net.Interface) (*directorNote, []byte, error) {
	frame, err := q.frame(in)
	if err != nil {
		return nil, nil, err
	}
	c := t.control.at(0)
	c.WatchUntil, c.Watch = c.Now+watchLease, watchTrace
	if err := objects.Watches.Put(uint32(0), directorWatch{Outcomes: ^uint64(0)}); err != nil {
		return nil, nil, err
	}
	reader, err := ringbuf.NewReader(objects.Events)
	if err != nil {
		return nil, nil, err
	}
	defer reader.Close()
	out := make([]byte, len(frame)+512)
	run := ebpf.RunOptions{Data: frame, DataOut: out, Context: xdpInput{DataEnd: uint32(len(frame)), IngressIfindex: uint32(in.Index)}}
	if _, err := objects.DroverXdp.Run(&run); err != nil {
		return nil, nil, fmt.Errorf("run the program: %w", err)
	}
	reader.SetDeadline(time.Now().Add(time.Second))
	record, err := reader.Read()
	if err != nil || len(record.RawSample) < int(unsafe.Sizeof(directorEvent{})) {
		return nil, nil, fmt.Errorf("the program told nothing of the packet: %w", err)
	}
	note := (*directorEvent)(unsafe.Pointer(&record.RawSample[0])).Note
	return &note, run.DataOut, nil
}

// xdpInput is struct xdp_md of linux/bpf.h.
type xdpInput struct {
	Data, DataEnd, DataMeta                uint32
	IngressIfindex, RxQueueIndex, EgressIf uint32
}

// frame makes the packet as it would come in.
func (q Question) frame(in *net.Interface) ([]byte, error) {
	ethernet := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: in.HardwareAddr, EthernetType: layers.EthernetTypeIPv4}
	if len(in.HardwareAddr) != 6 {
		ethernet.DstMAC = make(net.HardwareAddr, 6)
	}
	var ip gopacket.SerializableLayer = &layers.IPv4{
		Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocol(q.Protocol),
		SrcIP: q.From.Addr().AsSlice(), DstIP: q.To.Addr().AsSlice(),
	}
	if q.From.Addr().Is6() {
		ethernet.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{
			Version: 6, HopLimit: 64, NextHeader: layers.IPProtocol(q.Protocol),
			SrcIP: q.From.Addr().AsSlice(), DstIP: q.To.Addr().AsSlice(),
		}
	}
	transport, err := q.transport(ip.(gopacket.NetworkLayer))
	if err != nil {
		return nil, err
	}
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	err = gopacket.SerializeLayers(buffer, options, ethernet, ip, transport)
	return buffer.Bytes(), err
}

func (q Question) transport(ip gopacket.NetworkLayer) (gopacket.SerializableLayer, error) {
	if q.Protocol == lvs.UDP {
		udp := &layers.UDP{SrcPort: layers.UDPPort(q.From.Port()), DstPort: layers.UDPPort(q.To.Port())}
		return udp, udp.SetNetworkLayerForChecksum(ip)
	}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(q.From.Port()), DstPort: layers.TCPPort(q.To.Port()), Window: 65535}
	flags := q.Flags
	if flags == "" {
		flags = "S"
	}
	for _, letter := range flags {
		bit := map[rune]*bool{'S': &tcp.SYN, 'F': &tcp.FIN, 'R': &tcp.RST, 'A': &tcp.ACK}[letter]
		if bit == nil {
			return nil, fmt.Errorf("TCP flag %q: want S, F, R or A", letter)
		}
		*bit = true
	}
	return tcp, tcp.SetNetworkLayerForChecksum(ip)
}

// connectionOf finds the connection that a packet of a client belongs to.
func (t *Table) connectionOf(q Question) (*lvs.Connection, error) {
	all, err := t.Connections()
	for i, c := range all {
		if !c.Template && c.Protocol == q.Protocol &&
			(c.Client == q.From && c.Virtual == q.To || c.Destination == q.From && c.Client == q.To && c.Forwarding == lvs.Masquerade) {
			return &all[i], err
		}
	}
	return nil, err
}

// tell fills in what the run has shown.
func (t *Table) tell(e *Explanation, q Question, note *directorNote, frame []byte) error {
	names := newNames(t)
	e.Outcome, e.Mark = names.outcomes[note.Outcome], note.Mark
	if note.Server != 0 {
		d := t.dests.at(note.Server)
		e.Chosen = addrPort(d.Addr, d.Port, d.RipFamily)
	}
	if e.Known == nil {
		begun, err := t.connectionOf(q)
		if err != nil {
			return err
		}
		e.Begun = begun
	}
	if v := e.Outcome.Verdict; v == verdictForward || v == verdictAnswer {
		e.Frame, e.Device = frame, e.Interface
		if note.Server != 0 && note.State>>16 == 0 && v == verdictForward {
			e.Device = t.deviceOf(note.Server, names)
		}
	}
	return nil
}

// deviceOf names the device that a server's packets leave by.
func (t *Table) deviceOf(slot uint32, names *names) string {
	var d directorDevice
	row := uint32(atomic.LoadUint64(&t.dests.at(slot).Hop.Word) >> 48)
	if err := t.maps.Devices.Lookup(row, &d); err != nil {
		return ""
	}
	return names.interfaceName(d.Ifindex)
}
