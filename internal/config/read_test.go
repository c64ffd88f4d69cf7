package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dump gives statements as a tree of "LINE: words", quoted where they hold a blank.
func dump(statements []Statement, depth int) string {
	var out strings.Builder
	for i := range statements {
		s := &statements[i]
		var words []string
		for _, w := range s.Words {
			if w == "" || strings.ContainsAny(w, " \t\n") {
				w = fmt.Sprintf("%q", w)
			}
			words = append(words, w)
		}
		fmt.Fprintf(&out, "%s%d: %s", strings.Repeat("  ", depth), s.At.Line, strings.Join(words, " "))
		if s.HasBlock {
			out.WriteString(" {")
		}
		out.WriteString("\n" + dump(s.Block, depth+1))
	}
	return out.String()
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "k.conf")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRead has the language of keepalived.conf(5): each input becomes a tree.
func TestRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, input, want, findings string }{
		{"comments, and signs of them in quotes", "a 1 # x\nb \"# 2\" ! y\n!c\nd '!' 3\n", "1: a 1\n2: b \"# 2\"\n4: d ! 3\n", ""},
		{"a block", "v 1 {\n  a 1\n  b {\n c\n }\n}\nw\n", "1: v 1 {\n  2: a 1\n  3: b {\n    4: c\n7: w\n", ""},
		{"a brace on the next line", "v 1\n{\n a\n}\n", "1: v 1 {\n  3: a\n", ""},
		{"blocks in one line", "u { path / } v { a 1 } w", "1: u {\n  1: path /\n1: v {\n  1: a 1\n1: w\n", ""},
		{"braces at a word", "a{ b }\nc {d}\n", "1: a {\n  1: b\n2: c {\n  2: d\n", ""},
		{"braces in words and quotes", "path /a{b}c \"{\"\n", "1: path /a{b}c {\n", ""},
		{"quotes join, and keep blanks", `a abcd" efg h "x 'y  z' ""`, "1: a \"abcd efg h x\" \"y  z\" \"\"\n", ""},
		{"an escaped quote", `a "b \" c"`, "1: a \"b \\\" c\"\n", ""},
		{"config IDs", "@one a\n@two b\n@^one c\n@^two d\n@one @^two e\n", "1: a\n4: d\n5: e\n", ""},
		{"a variable", "$A=1 2\nx $A y\nx ${A}y\nx $Ay ${NONE} $\n", "2: x 1 2 y\n3: x 1 2y\n4: x $Ay ${NONE} $\n", ""},
		{"variables in variables, at the time of use", "$B=10.${S}\n$S=0\nx ${B}.1\n$S=1\nx ${B}.1\n", "3: x 10.0.1\n5: x 10.1.1\n", ""},
		{"a condition from a variable", "$M=@one\n$M a 1\n$N=@two\n$N b 1\n", "2: a 1\n", ""},
		{"a definition of several lines", "$R= \\\n real ${N} { \\\n  w 1 \\\n  @one x \\\n  @two y \\\n }\n$N=1\n$R\n$N=2\n$R\n", "8: real 1 {\n  8: w 1\n  8: x\n10: real 2 {\n  10: w 1\n  10: x\n", ""},
		{"a sequence", "~SEQ(N, 0, 2) ip 10.0.${N}.1\n~SEQ(N, 2) a ${N}\n~SEQ(N, 5, -2, 1) b ${N}\n", "1: ip 10.0.0.1\n1: ip 10.0.1.1\n1: ip 10.0.2.1\n2: a 1\n2: a 2\n3: b 5\n3: b 3\n3: b 1\n", ""},
		{"a hexadecimal sequence", "~SEQx(N, 0x9e, 1, 0xa0) ip fe80::${N}\n", "1: ip fe80::9e\n1: ip fe80::9f\n1: ip fe80::a0\n", ""},
		{"lists", "~LST(A, 1, x) a ${A}\n~LST({A, B}, {1, 2}, {3, 4}) ${A} ${B}\n", "1: a 1\n1: a x\n2: 1 2\n2: 3 4\n", ""},
		{"lists and sequences", "~LST(A, 1, 2) ~SEQ(B, 5, 6) ${A}.${B}\n", "1: 1.5\n1: 1.6\n2: 2.5\n2: 2.6\n", ""},
		{"signs that would begin comments", "a ${_HASH}1 ${_BANG}\n", "1: a #1 !\n", ""},
		{"the environment, the instance, the folder", "a ${_ENV HOME} ${_INSTANCE} ${_PWD}\n", "1: a home one DIR\n", ""},
		{"a block that is not closed", "a {\n b\n", "1: a {\n  2: b\n", "1: a: its block is not closed: want } before the end of the file"},
		{"a brace too many", "a\n}\nb\n", "1: a\n3: b\n", "2: } without a block that it could close"},
		{"a block of nothing", "{\n a\n}\nb\n", "4: b\n", "1: a block begins that belongs to no keyword: it is skipped"},
		{"a quote that is not closed", "a \"b c\nd\n", "1: a \"b c\"\n2: d\n", "1: a quote is not closed: the line's end closes it"},
		{"a sequence without end", "~SEQ(N, 1, 0, 5) a\nb\n", "2: b\n", "1: ~SEQ(N, 1, 0, 5): it never comes to its end: the line is skipped"},
		{"a list with too few values", "~LST({A, B}, {1}) a\nb\n", "2: b\n", "1: ~LST({A, B}, {1}): 1 values for 2 names: the line is skipped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := writeFile(t, c.input)
			statements, findings, err := Read(file, Options{ID: "one", Getenv: strings.ToLower})
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(c.want, "DIR", filepath.Dir(file))
			want = strings.ReplaceAll(want, "2: 2.5\n2: 2.6", "1: 2.5\n1: 2.6")
			if diff := cmp.Diff(want, dump(statements, 0)); diff != "" {
				t.Errorf("statements (-want +got):\n%s", diff)
			}
			var said []string
			for _, f := range findings {
				said = append(said, strings.TrimPrefix(f.String(), file+":"))
			}
			if diff := cmp.Diff(c.findings, strings.Join(said, "\n")); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInclude(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"main.conf":    "$V=7\ninclude conf.d/*.conf\nincluder {one,two}.inc\nincludea none.conf\ninclude none*\nend\n",
		"conf.d/a.inc": "not read\n", "conf.d/b.conf": "b $V\ninclude sub/c.conf\n", "conf.d/sub/c.conf": "c\ninclude c.conf\n",
		"one.inc": "one\n", "two.inc": "v {\n two\n}\n",
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	statements, findings, err := Read(filepath.Join(folder, "main.conf"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("1: b 7\n1: c\n1: one\n1: v {\n  2: two\n6: end\n", dump(statements, 0)); diff != "" {
		t.Errorf("statements (-want +got):\n%s", diff)
	}
	var said []string
	for _, f := range findings {
		said = append(said, strings.ReplaceAll(f.String(), folder+"/", ""))
	}
	want := []string{
		"conf.d/sub/c.conf:2: include: conf.d/sub/c.conf is being read already: it is not read in itself",
		"main.conf:4: includea: no file is named none.conf",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// TestBounds: what would grow without end is refused.
func TestBounds(t *testing.T) {
	t.Parallel()
	var laughs strings.Builder
	laughs.WriteString("$A0=ha ha ha ha ha ha ha ha\n")
	for i := range 12 {
		fmt.Fprintf(&laughs, "$A%d=%s\n", i+1, strings.Repeat(fmt.Sprintf("${A%d} ", i), 10))
	}
	laughs.WriteString("x ${A12}\n")
	for name, text := range map[string]string{"a variable of itself": "$A=${A} ${A}\nx ${A}\n", "many of many": laughs.String()} {
		if _, _, err := Read(writeFile(t, text), Options{}); err == nil || !strings.Contains(err.Error(), "grows beyond all bounds") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := Read("/not/there.conf", Options{}); err == nil || err.Error() != "/not/there.conf: no such file or directory" {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestEscaped(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		`p "a\tb"`: "a\tb", `p "\x41\102"`: "AB", `p "a\\.b"`: `a\.b`, `p "\q"`: "q", `p "say \"x\""`: `say "x"`, `p "\cA"`: "\x01",
	} {
		s := Statement{Text: input}
		if got := s.Escaped(); len(got) != 2 || got[1] != want {
			t.Errorf("%s is %q, want %q", input, got, want)
		}
	}
}

// layout gives statements without their lines.
func layout(statements []Statement) string {
	var out strings.Builder
	for i := range statements {
		fmt.Fprintf(&out, "%q", statements[i].Words)
		if statements[i].HasBlock {
			out.WriteString("{" + layout(statements[i].Block) + "}")
		}
	}
	return out.String()
}

func TestFormat(t *testing.T) {
	t.Parallel()
	const ugly = "! first\n\n\nvirtual_server   192.0.2.1 80\n{ # of the web\ndelay_loop\t6\n\n quorum_up \"a  b\"   # up\n real_server 198.51.100.11 80 { weight 1 }\n" +
		"}\n$A= \\\n   x { \\\n }\n~SEQ(N,1,2)   a ${N}\n@one b {\n c}\n"
	const want = "! first\n\nvirtual_server 192.0.2.1 80 { # of the web\n    delay_loop 6\n\n    quorum_up \"a  b\" # up\n    real_server 198.51.100.11 80 {\n        weight 1\n    }\n" +
		"}\n$A= \\\n   x { \\\n }\n~SEQ(N,1,2)   a ${N}\n@one b {\n    c\n}\n"
	if diff := cmp.Diff(want, string(Format([]byte(ugly)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	texts := map[string]string{"ugly": ugly}
	for seed := range uint64(100) {
		texts[fmt.Sprintf("made %d", seed)] = makeFile(seed)
	}
	files, _ := filepath.Glob(filepath.Join(samples, "keepalived.conf*"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(text)
	}
	for name, text := range texts {
		once := Format([]byte(text))
		if again := Format(once); string(again) != string(once) {
			t.Errorf("%s: formatted twice it is another (-once +twice):\n%s", name, cmp.Diff(string(once), string(again)))
		}
		before, _, err := Read(writeFile(t, text), Options{ID: "one"})
		if err != nil {
			t.Fatal(err)
		}
		after, _, err := Read(writeFile(t, string(once)), Options{ID: "one"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(layout(before), layout(after)); diff != "" {
			t.Errorf("%s: formatting changes what is read (-before +after):\n%s", name, diff)
		}
	}
}

// FuzzLoad: no file makes it panic, or run for ever.
func FuzzLoad(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(makeFile(seed))
	}
	f.Add("$A= \\\n~SEQ(B,1,3) ${B} { \\\n}\n$A\n~LST({a,b},{1,2}) @x ${a}\ninclude *\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "include") || len(text) > 4096 {
			return // it would read the machine's files, or is as another
		}
		c, _, err := Load(writeFile(t, text), Options{ID: "x"})
		if err == nil {
			if err := c.WriteText(&strings.Builder{}); err != nil {
				t.Error(err)
			}
		}
	})
}
