package checker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// fileAsker is FILE_CHECK: the number in a file, times a weight, is added to the server's weight; with weight 0 the server is
// up while the number is 0. A file that is not there counts as 0.
type fileAsker struct{ check *Check }

func (a *fileAsker) ask(context.Context) (weight int, sets bool, err error) {
	f := a.check.File
	text, err := os.ReadFile(f.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, false, err
	}
	number := 0
	if words := strings.Fields(string(text[:min(len(text), 64)])); len(words) > 0 {
		if number, err = strconv.Atoi(words[0]); err != nil {
			return 0, false, fmt.Errorf("%s: %q is not a number", f.Path, words[0])
		}
	}
	if f.Weight == 0 {
		if (number != 0) != f.Reverse {
			return 0, false, fmt.Errorf("%s: the number is %d", f.Path, number)
		}
		return 0, false, nil
	}
	return number * f.Weight, false, nil
}
