package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockWait = 10 * time.Second
	lockPoll = 5 * time.Millisecond
)

// errLocked says that another command has been changing the same data path for too long.
var errLocked = errors.New("another drover or ipvsadm is changing it")

// lockFolder takes the exclusive lock of a folder (flock(2) on the folder itself, as a BPF file system
// holds no regular files), waiting at most so long. The kernel gives it back when the process ends.
// Errors: fs.ErrNotExist if the folder is gone or goes while we wait; errLocked.
func lockFolder(path string, wait time.Duration) (unlock func(), err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	if err := flock(file, wait); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !isAt(file, path) {
		return nil, fmt.Errorf("lock %s: %w", path, fs.ErrNotExist)
	}
	return func() { file.Close() }, nil
}

// flock polls, since a blocked flock(2) can't be given up.
func flock(file *os.File, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("%w (waited %v)", errLocked, wait)
		}
		time.Sleep(lockPoll)
	}
}

// isAt tells whether the open folder still is the one of that path: who held the lock before us may
// have removed it.
func isAt(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(opened, named)
}
