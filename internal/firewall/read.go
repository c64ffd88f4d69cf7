package firewall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"drover/internal/lvs"
)

const readTime = 10 * time.Second // for all programs together

// Read gives the chains of the thread's network namespace, as nft and the programs of both kinds of iptables tell
// them. What of them is not installed cannot have rules that it would tell.
func Read(ctx context.Context) (chains []Chain, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	told := false
	for _, family := range []lvs.Family{lvs.IPv4, lvs.IPv6} {
		prefix := map[lvs.Family]string{lvs.IPv4: "iptables", lvs.IPv6: "ip6tables"}[family]
		names := []string{prefix + "-nft-save", prefix + "-legacy-save"}
		if !installed(names[0]) && !installed(names[1]) {
			names = []string{prefix + "-save"}
		}
		for _, name := range names {
			if !installed(name) {
				continue
			}
			text, errRun := run(ctx, name)
			if errRun != nil {
				err = errors.Join(err, errRun)
				continue
			}
			found, errParse := ParseIPTables(name[:len(name)-len("-save")], family, string(text))
			told = told || name != prefix+"-legacy-save"
			chains, err = append(chains, found...), errors.Join(err, errParse)
		}
	}
	if installed("nft") {
		text, errRun := run(ctx, "nft", "-j", "list", "ruleset")
		if errRun == nil && len(bytes.TrimSpace(text)) > 0 {
			found, errParse := ParseNFT(text, told)
			chains, errRun = append(chains, found...), errParse
		}
		err = errors.Join(err, errRun)
	}
	InOrder(chains)
	return chains, err
}

func installed(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return text, nil
}
