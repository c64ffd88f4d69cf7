package main

import "github.com/spf13/cobra"

// commands lists every command of drover, one file each.
func commands(env *environment) []*cobra.Command {
	return []*cobra.Command{
		newACLCommand(env),
		newAuditCommand(env),
		newCaptureCommand(env),
		newChecksCommand(env),
		newConfigCommand(env),
		newDatapathCommand(env),
		newDemoCommand(env),
		newDirectorCommand(env),
		newDrainCommand(env),
		newExplainCommand(env),
		newGenhashCommand(env),
		newIncidentCommand(env),
		newIpvsadmCommand(env),
		newLabCommand(env),
		newLogsCommand(env),
		newMarkCommand(env),
		newPlanCommand(env),
		newRealserverCommand(env),
		newReloadCommand(env),
		newRestoreCommand(env),
		newSaveCommand(env),
		newServerCommand(env),
		newSlowstartCommand(env),
		newStatusCommand(env),
		newTimeoutsCommand(env),
		newTraceCommand(env),
		newTuneCommand(env),
		newVRRPCommand(env),
	}
}
