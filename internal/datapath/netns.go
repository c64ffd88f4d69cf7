package datapath

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"drover/internal/namespace"
)

// onOwnThread runs f on an OS thread of its own that ends with it, in the caller's network namespace.
// There f may change its mount and network namespace; nothing else in the process notices.
func onOwnThread(f func() error) error {
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("open the network namespace: %w", err)
	}
	defer own.Close()
	return namespace.OnOwnThread(func() error {
		// The new thread is in the process's namespace, the caller's may be another.
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("join the network namespace: %w", err)
		}
		return f()
	})
}

// liveNamespaces gives the cookies of the network namespaces that a thread is in or a mount holds.
// Those that it may not open are left out.
func liveNamespaces() (map[uint64]bool, error) {
	// All are opened before a thread moves: a path such as /proc/1/task/1/ns/net follows its thread.
	files := namespaceFiles()
	defer func() {
		for _, file := range files {
			file.Close()
		}
	}()
	live := map[uint64]bool{}
	err := onOwnThread(func() error {
		for _, file := range files {
			if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
				continue // not ours to enter
			}
			cookie, err := namespace.Cookie()
			if err != nil {
				return err
			}
			live[cookie] = true
		}
		return nil
	})
	return live, err
}

// namespaceFiles opens each network namespace in sight once.
func namespaceFiles() []*os.File {
	paths, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net") // the pattern is well-formed
	mounts, _ := os.ReadFile("/proc/thread-self/mountinfo")      // without it, the threads alone
	paths = append(paths, namespaceMounts(string(mounts))...)
	seen := map[uint64]bool{}
	var files []*os.File
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			continue // ended meanwhile, or not ours to see
		}
		var stat unix.Stat_t
		if err := unix.Fstat(int(file.Fd()), &stat); err != nil || seen[stat.Ino] {
			file.Close()
			continue
		}
		seen[stat.Ino] = true
		files = append(files, file)
	}
	return files
}

// namespaceMounts finds the mount points of network namespaces (those of `ip netns`, for one) in the
// text of a mountinfo file, whose fields proc_pid_mountinfo(5) gives: 4 root, 5 mount point.
func namespaceMounts(mountinfo string) []string {
	var points []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) > 5 && strings.HasPrefix(fields[3], "net:[") {
			points = append(points, unescapeMount(fields[4]))
		}
	}
	return points
}

// unescapeMount undoes the octal escapes of blanks and backslashes in mountinfo.
func unescapeMount(field string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(field)
}
