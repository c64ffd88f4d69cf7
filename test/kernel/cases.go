package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A testCase is a list of steps, with a heading that says what it is about.
type testCase struct {
	name  string
	lines []string
}

// readCases reads a folder of case files, each a case: lines of "#" are comments.
func readCases(folder string) ([]testCase, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		return nil, err
	}
	var all []testCase
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read case: %w", err)
		}
		c := testCase{name: strings.TrimSuffix(filepath.Base(file), ".txt")}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				c.lines = append(c.lines, line)
			}
		}
		all = append(all, c)
	}
	return all, nil
}

// file gives a case as its file has it, for keeping.
func (c testCase) file() string {
	return "# " + c.name + "\n" + strings.Join(c.lines, "\n") + "\n"
}
