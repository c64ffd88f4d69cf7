package ipvsadm

import "fmt"

// The exit statuses.
const (
	statusDone    = 0
	statusListing = 1   // a listing that cannot be made
	statusRefused = 2   // refused by ipvsadm itself
	statusTable   = 255 // refused by the table or by the option parser
)

// A refusal is the answer to a command line that is not carried out.
type refusal struct {
	status int
	text   string
	mild   bool // a restore goes on with its next line, as after an error of the table
}

func (r *refusal) Error() string { return r.text }

// refuse gives ipvsadm's own refusal, which ends a restore too.
func refuse(format string, args ...any) error {
	return &refusal{status: statusRefused, text: fmt.Sprintf(format, args...)}
}

// tryHelp is the refusal of a command line that does not begin with a command.
func tryHelp(program string) error {
	text := fmt.Sprintf("Try `%s -h' or '%s --help' for more information.", program, program)
	return &refusal{status: statusTable, text: text}
}
