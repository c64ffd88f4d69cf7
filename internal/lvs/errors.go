package lvs

import "errors"

// Errors that IPVS answers with. Their texts are those that ipvsadm prints for them.
var (
	ErrServiceExists      = errors.New("Service already exists")                                                      //nolint:staticcheck // ipvsadm's text
	ErrNoService          = errors.New("No such service")                                                             //nolint:staticcheck // ipvsadm's text
	ErrServiceNotDefined  = errors.New("Service not defined")                                                         //nolint:staticcheck // ipvsadm's text
	ErrDestinationExists  = errors.New("Destination already exists")                                                  //nolint:staticcheck // ipvsadm's text
	ErrNoDestination      = errors.New("No such destination")                                                         //nolint:staticcheck // ipvsadm's text
	ErrNoScheduler        = errors.New("Scheduler or persistence engine not found")                                   //nolint:staticcheck // ipvsadm's text
	ErrRange              = errors.New("Numerical result out of range")                                               //nolint:staticcheck // ipvsadm's text
	ErrMemory             = errors.New("Memory allocation problem")                                                   //nolint:staticcheck // ipvsadm's text
	ErrNoDaemon           = errors.New("No daemon is running")                                                        //nolint:staticcheck // ipvsadm's text
	ErrNoDevice           = errors.New("No such device")                                                              //nolint:staticcheck // ipvsadm's text
	ErrPermission         = errors.New("Permission denied (you must be root)")                                        //nolint:staticcheck // ipvsadm's text
	ErrInvalidDestination = errors.New("Invalid operation.  Possibly wrong module version, address not unicast, ...") //nolint:staticcheck // ipvsadm's text
)

// An UnsupportedError says that ip_vs can do what was asked for and Drover's data path cannot yet.
// ipvsadm exits with status 2 on it.
type UnsupportedError struct {
	What string // "the tunnel forwarding method (-i)"
}

// Error gives one line that names what is missing.
func (e *UnsupportedError) Error() string {
	return "Drover's data path does not support " + e.What + " yet"
}
