package config

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKeywords: every keyword that keepalived knows has a row with a status, and what does nothing or is refused says why.
func TestKeywords(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, kind := range blockKinds() {
		for i := range kind.rows {
			r := &kind.rows[i]
			if r.status == "" || (r.status == Noted || r.status == Refused) && r.remark == "" {
				t.Errorf("%s in %s: status %q, remark %q", r.names, kind.name, r.status, r.remark)
			}
			if r.status == Acted && r.read == nil {
				t.Errorf("%s in %s: acted on, and nothing reads it", r.names, kind.name)
			}
			for name := range strings.FieldsSeq(r.names) {
				known[name] = true
			}
		}
	}
	list, err := os.ReadFile("testdata/keywords.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for name := range strings.FieldsSeq(string(list)) {
		n++
		if !known[name] {
			t.Errorf("%s has no row", name)
		}
	}
	if n < 364 {
		t.Errorf("%d keywords in the list: want 364 or more", n)
	}
}

// TestKeywordPage: the documentation has the table as it is.
func TestKeywordPage(t *testing.T) {
	t.Parallel()
	var want bytes.Buffer
	if err := WriteKeywords(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/keywords.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("docs/keywords.md: run: go run ./cmd/drover config keywords > docs/keywords.md (-want +got):\n%s", diff)
	}
}
