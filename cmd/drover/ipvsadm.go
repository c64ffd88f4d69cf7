package main

import (
	"path"

	"github.com/spf13/cobra"

	"drover/internal/ipvsadm"
)

// servicesFile names the ports of well-known services, services(5).
const servicesFile = "/etc/services"

// newIpvsadmCommand gives the command that takes the arguments of ipvsadm as they are.
func newIpvsadmCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:                "ipvsadm [ARGUMENT...]",
		Short:              "Administer virtual services, as ipvsadm(8) does",
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if status := runIpvsadm(env, "ipvsadm", args); status != 0 {
				return &exitError{status: status}
			}
			return nil
		},
	}
}

// runByName runs ipvsadm, ipvsadm-save, ipvsadm-restore or genhash when the program was called by that name.
// ok is false for any other name.
func runByName(env *environment, args []string) (status int, ok bool) {
	if len(args) == 0 {
		return 0, false
	}
	switch path.Base(args[0]) {
	case "ipvsadm", "ipvsadm-save", "ipvsadm-restore":
		return runIpvsadm(env, args[0], args[1:]), true
	case "genhash":
		return run(env, append([]string{"drover", "genhash"}, args[1:]...)), true
	}
	return 0, false
}

func runIpvsadm(env *environment, name string, args []string) int {
	return ipvsadm.Run(ipvsadm.Env{
		Stdin:  env.stdin,
		Stdout: env.stdout,
		Stderr: env.stderr,
		Open:   func(mode ipvsadm.Mode) (ipvsadm.Table, error) { return openTable(env, mode) },
		Hosts:  ipvsadm.NewHosts(),
		Ports:  ipvsadm.NewPorts(servicesFile),
	}, name, args)
}
