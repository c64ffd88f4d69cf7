package rounds

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValues(t *testing.T) {
	v := Values{3, 1, 2.5, 10, 2}
	if diff := cmp.Diff("2.50 (1.00 .. 10.00)", v.Text(2)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Values{1.5, 0.25}, v.Over(Values{2, 4})); diff != "" {
		t.Errorf("ratios (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("-", Values{}.Text(1)); diff != "" {
		t.Errorf("nothing measured (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Values{3, 1, 2.5, 10, 2}, v); diff != "" {
		t.Errorf("the rounds' order was changed (-want +got):\n%s", diff)
	}
}

func TestOptions(t *testing.T) {
	for _, row := range []struct {
		name, cases, rounds, scale string
		wantRounds, wantScaled     int // of 1,000
		wantError                  string
	}{
		{name: "defaults", wantRounds: 5, wantScaled: 1000},
		{name: "all given", cases: "^DR", rounds: "2", scale: "0.01", wantRounds: 2, wantScaled: 10},
		{name: "never none", scale: "0.0001", wantRounds: 5, wantScaled: 1},
		{name: "no rounds", rounds: "0", wantError: `DROVER_BENCH_ROUNDS: "0": want 1 or more`},
		{name: "more than all", scale: "2", wantError: `DROVER_BENCH_SCALE: "2": want a number above 0, up to 1`},
		{name: "no number", scale: "NaN", wantError: `DROVER_BENCH_SCALE: "NaN": want a number above 0, up to 1`},
		{name: "no expression", cases: "(", wantError: "DROVER_BENCH: error parsing regexp: missing closing ): `(`"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Setenv("DROVER_BENCH", row.cases)
			t.Setenv("DROVER_BENCH_ROUNDS", row.rounds)
			t.Setenv("DROVER_BENCH_SCALE", row.scale)
			o, err := FromEnvironment(5)
			if err != nil || row.wantError != "" {
				if err == nil || err.Error() != row.wantError {
					t.Fatalf("error %v, want %s", err, row.wantError)
				}
				return
			}
			if o.Rounds != row.wantRounds || o.Scale(1000) != row.wantScaled {
				t.Errorf("%d rounds, 1000 scaled to %d; want %d, %d", o.Rounds, o.Scale(1000), row.wantRounds, row.wantScaled)
			}
			if !o.Chosen("DR, 1 flow") || o.Chosen("NAT") == (row.cases != "") {
				t.Errorf("%q chooses wrongly", row.cases)
			}
		})
	}
}

func TestTable(t *testing.T) {
	t.Setenv("DROVER_BENCH_JSON", "1")
	table := Table{Title: "Speed", Columns: []string{"case", "ns"}}
	table.Row(map[string]any{"case": "a long name", "ns": Values{1}}, "a long name", "1")
	table.Row(map[string]any{"case": "b", "ns": Values{22}}, "b", "22")
	table.Note("%d case is left out", 1)
	var out strings.Builder
	if err := table.Print(&out); err != nil {
		t.Fatal(err)
	}
	want := `
Speed
case         ns
a long name  1
b            22
1 case is left out
{"title":"Speed","rows":[{"case":"a long name","ns":[1]},{"case":"b","ns":[22]}],"notes":["1 case is left out"]}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
