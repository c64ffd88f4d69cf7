package checker

import (
	"context"
	"errors"

	"drover/internal/script"
)

// miscAsker is MISC_CHECK.
type miscAsker struct{ check *Check }

func (a *miscAsker) ask(ctx context.Context) (weight int, sets bool, err error) {
	m := a.check.Misc
	exit, err := script.Run(ctx, script.Command{Args: m.Command, User: m.User, Group: m.Group, Timeout: m.Timeout})
	if err != nil {
		return 0, false, err
	}
	switch {
	case exit.TimedOut, exit.Signal != "":
	case exit.Status == 0:
		return 0, false, nil
	case m.Dynamic && exit.Status >= 2:
		return exit.Status - 2, true, nil
	}
	return 0, false, errors.New(exit.String())
}
