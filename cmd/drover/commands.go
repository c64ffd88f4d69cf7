package main

import "github.com/spf13/cobra"

// commands lists every command of drover, one file each.
func commands(env *environment) []*cobra.Command {
	return []*cobra.Command{
		newACLCommand(env),
		newAuditCommand(env),
		newCaptureCommand(env),
		newDatapathCommand(env),
		newDemoCommand(env),
		newDrainCommand(env),
		newExplainCommand(env),
		newIncidentCommand(env),
		newIpvsadmCommand(env),
		newLabCommand(env),
		newMarkCommand(env),
		newRealserverCommand(env),
		newRestoreCommand(env),
		newSaveCommand(env),
		newSlowstartCommand(env),
		newTimeoutsCommand(env),
		newTraceCommand(env),
		newTuneCommand(env),
	}
}
