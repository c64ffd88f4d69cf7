package ipvsadm

import (
	"bufio"
	"errors"
	"io"
	"iter"
)

// lines gives the lines of a stream of whatever length, and at the end the error, if any, that
// stopped the reading.
func lines(r io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		reader := bufio.NewReader(r)
		for {
			line, err := reader.ReadString('\n')
			if line != "" && !yield(line, nil) {
				return
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield("", err)
				return
			}
		}
	}
}
