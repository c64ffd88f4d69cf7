package lab

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolValue is struct ethtool_value (linux/ethtool.h), the argument of the on/off commands.
type ethtoolValue struct {
	command uint32
	data    uint32
}

// ifreqData is struct ifreq (linux/if.h) with a pointer in its union.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// The offloads of linux/ethtool.h that a lab sets.
const (
	txChecksumOffload = 0x17 // ETHTOOL_STXCSUM
	receiveOffload    = 0x2c // ETHTOOL_SGRO
)

// setOffload switches an offload of an interface of the thread's network namespace.
func setOffload(iface string, command uint32, on bool) error {
	value := ethtoolValue{command: command}
	if on {
		value.data = 1
	}
	request := ifreqData{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], iface)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set offload %#x of %s: %w", command, iface, err)
	}
	defer unix.Close(fd)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(&value)
	if errno != 0 {
		return fmt.Errorf("set offload %#x of %s: %w", command, iface, errno)
	}
	return nil
}
