package ipvsadm

// command is what a command line asks for.
type command int

const (
	noCommand command = iota
	addService
	editService
	deleteService
	flush
	list
	addServer
	deleteServer
	editServer
	setTimeouts
	startDaemon
	stopDaemon
	restore
	save
	zero
	help
	version
)

// Names in messages.
var commandNames = map[command]string{
	addService: "add-service", editService: "edit-service", deleteService: "delete-service",
	flush: "flush", list: "list", addServer: "add-server", deleteServer: "delete-server",
	editServer: "edit-server", setTimeouts: "set", startDaemon: "start-daemon",
	stopDaemon: "stop-daemon", restore: "restore", save: "save", zero: "zero",
}

func (c command) String() string { return commandNames[c] }

// mode says what the command does with the table.
func (c command) mode() Mode {
	switch c {
	case list, save:
		return Read
	case addService, setTimeouts:
		return Add
	}
	return Change
}
