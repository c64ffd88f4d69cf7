package datapath

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// array is a BPF array map mapped into memory: reads and writes of its elements are plain ones, seen
// by the programs at once. T is the value's type as bpf2go made it.
type array[T any] struct {
	memory   []byte
	elements []T
}

// mapArray maps an array map that was made with BPF_F_MMAPABLE.
func mapArray[T any](m *ebpf.Map) (*array[T], error) {
	var element T
	size := int(unsafe.Sizeof(element))
	if size != int(m.ValueSize()) || size%8 != 0 {
		return nil, fmt.Errorf("map %s: values of %d bytes, expected %d", m.String(), m.ValueSize(), size)
	}
	page := unix.Getpagesize()
	length := (size*int(m.MaxEntries()) + page - 1) / page * page
	memory, err := unix.Mmap(m.FD(), 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s into memory: %w", m.String(), err)
	}
	first := (*T)(unsafe.Pointer(unsafe.SliceData(memory)))
	return &array[T]{memory: memory, elements: unsafe.Slice(first, m.MaxEntries())}, nil
}

// at gives element i, which must be in range.
func (a *array[T]) at(i uint32) *T { return &a.elements[i] }

func (a *array[T]) close() error {
	if a == nil {
		return nil
	}
	a.elements = nil
	return unix.Munmap(a.memory)
}
