package namespace

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCookie(t *testing.T) {
	own, err := Cookie()
	if err != nil {
		t.Fatal(err)
	}
	err = OnOwnThread(func() error {
		if same, err := Cookie(); err != nil || same != own {
			t.Errorf("cookie %d on another thread, want %d (%v)", same, own, err)
		}
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Fatalf("make a network namespace (needs root): %v", err)
		}
		if other, err := Cookie(); err != nil || other == own || other == 0 {
			t.Errorf("cookie %d in another namespace, %d in this one (%v)", other, own, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if after, err := Cookie(); err != nil || after != own {
		t.Errorf("cookie %d afterwards, want %d (%v)", after, own, err)
	}
}

// TestOnOwnThread holds so many threads at once that the process's first would be among them if it were not
// left out: it would stay in the namespace that it entered.
func TestOnOwnThread(t *testing.T) {
	before, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	failure := errors.New("as asked")
	var entered, ended sync.WaitGroup
	entered.Add(50)
	for range 50 {
		ended.Go(func() {
			err := OnOwnThread(func() error {
				entered.Done()
				entered.Wait()
				if unix.Gettid() == unix.Getpid() {
					t.Error("ran on the first thread")
				}
				return errors.Join(unix.Unshare(unix.CLONE_NEWNET), failure)
			})
			if err == nil || err.Error() != failure.Error() {
				t.Errorf("error %v, want %v", err, failure)
			}
		})
	}
	ended.Wait()
	if after, err := os.Readlink("/proc/self/ns/net"); err != nil || after != before {
		t.Errorf("the process is in %s, was in %s (%v)", after, before, err)
	}
	if err := OnOwnThread(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("no error from a function that ended its goroutine")
	}
}
