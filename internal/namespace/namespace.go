// Package namespace is about the network namespace of a thread.
package namespace

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Cookie identifies the network namespace of the calling thread: a number that no other namespace has had
// or will have until the machine boots again. Inode numbers are used again at once.
func Cookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open a socket for the network namespace's cookie: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("read the network namespace's cookie: %w", err)
	}
	return cookie, nil
}

// OnOwnThread runs f on an operating system thread that ends with it, so f may change the thread's namespaces
// at will. It is never the process's first: that one can't end, so it would hold a namespace that it entered for
// as long as the process runs, and by it /proc/PID shows the process. An f that ends its goroutine is an error.
func OnOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("the function ended its goroutine")
		defer func() { done <- err }() // also after runtime.Goexit, as t.FailNow does it
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			err = OnOwnThread(f) // while this one is held, it gets another
			runtime.UnlockOSThread()
			return
		}
		err = f() // never unlocked: the runtime ends the thread with the goroutine
	}()
	return <-done
}
