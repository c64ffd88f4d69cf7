package main

import "github.com/spf13/cobra"

// commands lists every command of drover, one file each.
func commands(env *environment) []*cobra.Command {
	return []*cobra.Command{
		newACLCommand(env),
		newDatapathCommand(env),
		newDemoCommand(env),
		newDrainCommand(env),
		newIpvsadmCommand(env),
		newLabCommand(env),
		newMarkCommand(env),
		newRealserverCommand(env),
		newRestoreCommand(env),
		newSaveCommand(env),
		newSlowstartCommand(env),
		newTimeoutsCommand(env),
		newTuneCommand(env),
	}
}
