// Package internal_test keeps the layers of the program, as docs/ARCHITECTURE.md draws them.
package internal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "drover"

// A layer is a folder of internal and what it may import of the others.
type layer struct {
	name string
	uses []string
}

// above stands for every layer that is listed before the one that uses it.
var above = []string{"*"}

// layers are in order: each imports only those before it, and of them only what it uses.
var layers = []layer{
	{"lvs", nil},
	{"namespace", nil},
	{"firewall", []string{"lvs"}},
	{"ipvsadm", []string{"lvs"}},
	{"schedule", []string{"lvs"}},
	{"datapath", above},
	{"script", nil},
	{"checker", []string{"lvs", "script"}},
	{"vrrp", nil},
	{"announce", above},
	{"config", []string{"lvs", "checker", "vrrp"}},
	{"pool", above},
	{"router", []string{"lvs", "vrrp", "announce", "config", "script"}},
	{"drain", []string{"lvs", "datapath"}},
	{"realserver", above},
	{"doctor", above},
	{"filesync", []string{"lvs"}},
	{"mariadb", []string{"lvs"}},
	{"backup", []string{"lvs"}},
	{"lock", []string{"lvs"}},
	{"director", above},
	{"notify", []string{"script", "config", "director"}},
	{"api", []string{"lvs", "director"}},
	{"console", []string{"lvs", "api"}},
	{"lab", []string{"lvs", "namespace", "realserver", "datapath"}},
}

// A goPackage is what `go list -json` tells. Imports are those of the program, not of its tests: a
// test may stand on anything that imports what it tests.
type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestLayers(t *testing.T) {
	packages := listPackages(t)
	for _, known := range []string{module + "/cmd/drover", module + "/internal/lvs"} {
		if !slices.ContainsFunc(packages, func(p goPackage) bool { return p.ImportPath == known }) {
			t.Errorf("go list does not show %s: this test reads its output wrongly", known)
		}
	}
	for _, fault := range faults(packages) {
		t.Error(fault)
	}
}

// listPackages reads every package of the module. One that does not build is listed all the same:
// that is for the compiler to tell.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports", module+"/...").Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("go list: %v: %s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}

// faults gives a line for every import that breaks the layers, and for every package without one.
func faults(packages []goPackage) []string {
	var found []string
	for _, p := range packages {
		at, fault := place(p.ImportPath)
		if fault != "" {
			found = append(found, fault)
			continue
		}
		for _, imported := range p.Imports {
			if fault := checkImport(p.ImportPath, at, imported); fault != "" {
				found = append(found, fault)
			}
		}
	}
	return found
}

// place gives the layer of one of our packages: its index in layers, or len(layers) for programs and
// tests, which stand on top. A package in a folder of a layer belongs to the layer.
func place(path string) (at int, fault string) {
	folder, rest, _ := strings.Cut(strings.TrimPrefix(path, module+"/"), "/")
	switch {
	case folder == "cmd" || folder == "test" || path == module+"/internal":
		return len(layers), ""
	case folder != "internal":
		return 0, fmt.Sprintf("%s: packages belong under internal, cmd or test", path)
	}
	name, _, _ := strings.Cut(rest, "/")
	at = slices.IndexFunc(layers, func(l layer) bool { return l.name == name })
	if at < 0 {
		return 0, fmt.Sprintf("%s has no layer: add %q in its place to layers in internal/layers_test.go and to docs/ARCHITECTURE.md",
			path, name)
	}
	return at, ""
}

func checkImport(importer string, at int, imported string) (fault string) {
	if !strings.HasPrefix(imported, module+"/") {
		return ""
	}
	below, fault := place(imported)
	switch {
	case fault != "":
		return "" // told where that package is listed itself
	case below == len(layers):
		return fmt.Sprintf("%s imports %s: nothing imports a program or a test", importer, imported)
	case at == len(layers), at == below:
		return ""
	case below > at:
		return fmt.Sprintf("%s imports %s, which comes after it in the layers", importer, imported)
	case !slices.Equal(layers[at].uses, above) && !slices.Contains(layers[at].uses, layers[below].name):
		return fmt.Sprintf("%s imports %s: layer %s may use only %v of ours", importer, imported, layers[at].name, layers[at].uses)
	}
	return ""
}

func TestFaults(t *testing.T) {
	const in = module + "/internal/"
	for _, row := range []struct {
		name, importer string
		imports        []string
		want           []string
	}{
		{"the standard library", in + "lvs", []string{"fmt"}, nil},
		{"a layer before it", in + "datapath", []string{in + "lvs", in + "schedule"}, nil},
		{"its own layer", in + "datapath/probe", []string{in + "datapath"}, nil},
		{"a program", module + "/cmd/drover", []string{in + "lab", in + "ipvsadm"}, nil},
		{"a test", module + "/test/kernel", []string{in + "lab", in + "datapath"}, nil},
		{"a layer after it", in + "lvs", []string{in + "ipvsadm"}, []string{
			"drover/internal/lvs imports drover/internal/ipvsadm, which comes after it in the layers",
		}},
		{"a layer that it does not use", in + "vrrp", []string{in + "lvs"}, []string{
			"drover/internal/vrrp imports drover/internal/lvs: layer vrrp may use only [] of ours",
		}},
		{"a folder of such a layer", in + "lab", []string{in + "schedule/hash"}, []string{
			"drover/internal/lab imports drover/internal/schedule/hash: layer lab may use only [lvs namespace realserver datapath] of ours",
		}},
		{"a program from below", in + "lab", []string{module + "/cmd/drover"}, []string{
			"drover/internal/lab imports drover/cmd/drover: nothing imports a program or a test",
		}},
		{"no layer", in + "util", []string{in + "lvs"}, []string{
			`drover/internal/util has no layer: add "util" in its place to layers in internal/layers_test.go and to docs/ARCHITECTURE.md`,
		}},
		{"another folder", module + "/pkg/lvs", nil, []string{
			"drover/pkg/lvs: packages belong under internal, cmd or test",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := faults([]goPackage{{row.importer, row.imports}})
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLayersAreInOrder holds the list against itself: a layer uses only what is listed before it.
func TestLayersAreInOrder(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range layers {
		for _, used := range l.uses {
			if used != above[0] && !seen[used] {
				t.Errorf("layer %s uses %s, which is not before it", l.name, used)
			}
		}
		if seen[l.name] {
			t.Errorf("layer %s is listed twice", l.name)
		}
		seen[l.name] = true
	}
}
