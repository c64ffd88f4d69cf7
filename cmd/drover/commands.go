package main

import "github.com/spf13/cobra"

// commands lists every command of drover, one file each.
func commands(env *environment) []*cobra.Command {
	return nil
}

// runByName runs ipvsadm, ipvsadm-save or ipvsadm-restore when the program was called by that name.
// ok is false for any other name.
func runByName(env *environment, args []string) (status int, ok bool) {
	return 0, false
}
