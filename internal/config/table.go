package config

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// blockKinds are all kinds of blocks, in the order of the documentation.
func blockKinds() []*blockKind {
	kinds := []*blockKind{
		{name: "outermost", rows: rootBlock.rows},
		globalBlock, vrrpGlobals, virtualBlock, realBlock,
		{name: "each check that connects", rows: connectRows},
		httpBlock, urlBlock, smtpBlock, dnsBlock, udpBlock, miscBlock, fileBlock,
		dialogBlock, trackFileBlock, sslBlock, droverBlock,
		instanceBlock, authenticationBlock, syncGroupBlock, vrrpScriptBlock, trackProcessBlock, trackGroupBlock, garpBlock, bfdBlock,
	}
	return kinds
}

// WriteKeywords writes, in Markdown, what becomes of each keyword in each kind of block. Keywords of a block that are
// explained with "each check that connects" are not repeated.
func WriteKeywords(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, `# The keywords of keepalived.conf

What becomes of each keyword, written by "drover config keywords" from the table that the configuration is read by.

- **acted on**: it does what it does in keepalived.
- **checked**: it is read and checked, and nothing acts on it yet; a note says so.
- **does nothing**: it is accepted, and has no effect here for the reason given.
- **refused**: by name, with an error; what the remark says goes on without it.
`)
	for _, kind := range blockKinds() {
		fmt.Fprintf(out, "\n## %s\n\n| keyword | status | remark |\n|---|---|---|\n", kind.name)
		for i := range kind.rows {
			r := &kind.rows[i]
			if slices.ContainsFunc(connectRows, func(c row) bool { return c.names == r.names }) && !strings.Contains(kind.name, "each check") && kind != virtualBlock && kind != realBlock && kind != miscBlock {
				continue
			}
			for name := range strings.FieldsSeq(r.names) {
				fmt.Fprintf(out, "| %s | %s | %s |\n", name, r.status, r.remark)
			}
		}
	}
	return out.Flush()
}
