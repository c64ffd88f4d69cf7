package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/spf13/cobra"

	"drover/internal/datapath"
)

// maxSnap is EVENT_FRAME of the data path, in bytes.
const maxSnap = 2048

// newCaptureCommand is `drover capture`: XDP is below tcpdump.
func newCaptureCommand(env *environment) *cobra.Command {
	var w watchFlags
	snap := uint32(maxSnap)
	cmd := &cobra.Command{
		Use:   "capture FILE [FILTER]",
		Short: "Write packets as they come and as they leave into a pcapng file",
		Long: `Write packets as they come in and as they are when the data path has done with them into a pcapng file, for
Wireshark and tcpdump -r, until interrupted. XDP is below tcpdump, which does not see what is forwarded. The file has two
interfaces, "before" and "after". FILE is written anew; - is the standard output.

` + filterHelp,
		Example: "  drover capture /tmp/vip.pcapng host 192.0.2.10 port 80 --for 10s",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("capture: want FILE, and then perhaps a filter")
			}
			filter, err := parseFilter(args[1:])
			if err != nil {
				return err
			}
			if snap < 14 || snap > maxSnap {
				return usageError("--snaplen %d: want 14 to %d bytes", snap, maxSnap)
			}
			file := env.stdout
			if args[0] != "-" {
				made, err := os.OpenFile(args[0], os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) // it has what people send
				if err != nil {
					return err
				}
				defer made.Close()
				file = made
			}
			return capture(cmd, env, file, filter, snap, w)
		},
	}
	w.addTo(cmd)
	cmd.Flags().Uint32Var(&snap, "snaplen", maxSnap, "bytes of each packet to keep")
	return cmd
}

func capture(cmd *cobra.Command, env *environment, file io.Writer, filter datapath.Filter, snap uint32, w watchFlags) error {
	writer, err := newCaptureFile(file)
	if err != nil {
		return err
	}
	packets := 0
	hidden, err := w.watch(cmd.Context(), filter, snap, func(e *datapath.Event) error {
		packets++
		return writer.write(e)
	})
	err = errors.Join(err, writer.Flush())
	if err == nil {
		_, err = fmt.Fprintf(env.stderr, "drover: %s packets, before and after\n", countText(uint64(packets)))
	}
	if hidden > 0 {
		fmt.Fprintf(env.stderr, "drover: %s more came too fast to be kept\n", countText(hidden))
	}
	return err
}

// A captureFile is pcapng with an interface for packets as they came and one for those that were done with.
type captureFile struct {
	*pcapgo.NgWriter
	after int
}

func newCaptureFile(file io.Writer) (*captureFile, error) {
	options := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "drover capture"}}
	writer, err := pcapgo.NewNgWriterInterface(file, pcapgo.NgInterface{Name: "before", LinkType: layers.LinkTypeEthernet}, options)
	if err != nil {
		return nil, err
	}
	after, err := writer.AddInterface(pcapgo.NgInterface{Name: "after", LinkType: layers.LinkTypeEthernet})
	return &captureFile{writer, after}, err
}

func (f *captureFile) write(e *datapath.Event) error {
	info := gopacket.CaptureInfo{Timestamp: e.At, CaptureLength: len(e.Frame), Length: e.Length}
	if e.Outcome.Name != "" {
		info.InterfaceIndex = f.after
	}
	return f.WritePacket(info, e.Frame)
}
