package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/datapath"
)

func TestPrintUpgraded(t *testing.T) {
	tests := []struct {
		name string
		done *datapath.Upgraded
		want string
	}{
		{"already", &datapath.Upgraded{Already: true}, "The data path is already this version.\n"},
		{"upgraded", &datapath.Upgraded{
			Programs: []datapath.ProgramChange{
				{Name: "drover_xdp", Old: "0123456789abcdef", New: "fedcba9876543210"},
				{Name: "former", Old: "00000000000000ff"},
				{Name: "tunnel", New: "00000000000000fe"},
			},
			Maps: []datapath.MapChange{
				{Name: "conns", Action: "reused"}, {Name: "stages", Action: "made", Why: "it holds this version's programs"},
			},
		}, `The data path is upgraded.

Programs
  name        old               new
  drover_xdp  0123456789abcdef  fedcba9876543210
  former      00000000000000ff  -
  tunnel      -                 00000000000000fe

Maps
  name    action  why
  conns   reused  -
  stages  made    it holds this version's programs
`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var text bytes.Buffer
			if err := printUpgraded(&printer{w: &text}, test.done); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, text.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
