package script

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// scriptUser is who runs programs where nobody is named, if there is such a user.
const scriptUser = "keepalived_script"

// DefaultUser is who runs programs where nobody is named.
func DefaultUser() string {
	if _, err := user.Lookup(scriptUser); err == nil {
		return scriptUser
	}
	return "root"
}

// credentials are those of a user and group; nil where they are the process's own.
func credentials(name, group string) (*syscall.Credential, error) {
	if name == "" {
		name = DefaultUser()
	}
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil, fmt.Errorf("user %s: there is none of that name", name)
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			if g, err = user.LookupGroupId(group); err != nil {
				return nil, fmt.Errorf("group %s: there is none of that name", group)
			}
		}
		if gid, err = strconv.ParseUint(g.Gid, 10, 32); err != nil {
			return nil, err
		}
	}
	if int(uid) == os.Geteuid() && int(gid) == os.Getegid() {
		return nil, nil
	}
	c := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			c.Groups = append(c.Groups, uint32(n))
		}
	}
	return c, nil
}

// ErrInsecure is wrapped by the error of Secure.
var ErrInsecure = errors.New("others than root could change it")

// Secure refuses a program that root would run and that others than root can replace: the file itself, or a folder on
// the way to it, links followed. What another user runs is that user's affair.
func Secure(path, asUser string) error {
	if asUser == "" {
		asUser = DefaultUser()
	}
	if asUser != "root" && asUser != "0" {
		return nil
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, start := range []string{path, real} {
		for at := filepath.Clean(start); ; at = filepath.Dir(at) {
			if err := secureAt(at); err != nil {
				return err
			}
			if at == "/" || at == "." {
				break
			}
		}
	}
	return nil
}

func secureAt(path string) error {
	var s unix.Stat_t
	if err := unix.Lstat(path, &s); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if s.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil // its folder says who can change it
	}
	sticky := s.Mode&unix.S_IFMT == unix.S_IFDIR && s.Mode&unix.S_ISVTX != 0
	if s.Uid != 0 || s.Mode&unix.S_IWOTH != 0 && !sticky || s.Mode&unix.S_IWGRP != 0 && s.Gid != 0 {
		return fmt.Errorf("%s: %w", path, ErrInsecure)
	}
	return nil
}

// Find tells what is wrong with a program before it is run: that it is not there, or can't be executed.
func Find(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return unwrapPath(err)
	case info.IsDir():
		return fmt.Errorf("%s: it is a folder", path)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s: it can't be executed", path)
	}
	return nil
}
