package main

import (
	"context"
	"errors"
	"fmt"

	"drover/internal/datapath"
	"drover/internal/ipvsadm"
)

// openTable opens the table of virtual services for what ipvsadm is about to do with it. The first
// command that adds something loads the data path, and says so on stderr; one that only reads, or
// changes what is not there, finds an empty table and attaches nothing.
func openTable(env *environment, mode ipvsadm.Mode) (ipvsadm.Table, error) {
	if mode == ipvsadm.Add {
		table, err := openOrLoad(env)
		return orNil(table, err)
	}
	table, err := datapath.Open(mode != ipvsadm.Read)
	if errors.Is(err, datapath.ErrNotLoaded) {
		return datapath.EmptyTable{}, nil
	}
	return orNil(table, err)
}

// openOrLoad opens the data path for a change. If there is none it is loaded, which is said once on stderr.
func openOrLoad(env *environment) (*datapath.Table, error) {
	table, err := datapath.Open(true)
	if !errors.Is(err, datapath.ErrNotLoaded) {
		return table, err
	}
	if _, err := load(env, nil); err != nil {
		return nil, err
	}
	return datapath.Open(true)
}

// load loads the data path on interfaces, or on those it chooses, because a command needs it, and says so.
func load(env *environment, interfaces []string) (*datapath.Loaded, error) {
	loaded, err := datapath.Load(datapath.Options{Interfaces: interfaces})
	if err != nil {
		return nil, err
	}
	for _, warning := range loaded.Warnings {
		fmt.Fprintf(env.stderr, "drover: warning: %s\n", warning)
	}
	if !loaded.Already {
		fmt.Fprintf(env.stderr, "drover: data path loaded on %s\n", interfaceNames(loaded.Interfaces))
		warnBypassed(context.Background(), env.stderr)
	}
	return loaded, nil
}

// orNil keeps a nil *datapath.Table from becoming a non-nil interface.
func orNil(table *datapath.Table, err error) (ipvsadm.Table, error) {
	if err != nil {
		return nil, err
	}
	return table, nil
}
