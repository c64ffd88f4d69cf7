package main

import (
	"fmt"
	"strconv"

	"drover/internal/datapath"
)

// printStatus writes a status in sections: what is attached, how full it is, what it consists of, and
// every counter, those at zero too.
func printStatus(p *printer, s *datapath.Status) error {
	sections := []struct {
		title string
		rows  [][]cell
	}{
		{"Data path", summaryRows(s)},
		{"Interfaces", interfaceRows(s.Interfaces)},
		{"Programs", programRows(s.Programs)},
		{"Maps", mapRows(s.Maps)},
		{"Packets", counterRows(s.Counters)},
	}
	for i, section := range sections {
		gap := "\n"
		if i == 0 {
			gap = ""
		}
		if err := p.printf("%s%s\n", gap, p.in(bold, section.title)); err != nil {
			return err
		}
		if err := p.table(section.rows); err != nil {
			return err
		}
	}
	return nil
}

func summaryRows(s *datapath.Status) [][]cell {
	version := cell{text: "this version", style: green}
	if !s.ThisVersion {
		version = cell{text: "another version: run drover datapath upgrade", style: yellow}
	}
	pair := cell{text: "balanced; fragments out of order are held", style: green}
	if !s.HasPair {
		pair = cell{text: "not balanced; fragments out of order are dropped: no pair of veth devices", style: yellow}
	}
	return [][]cell{
		{{text: "network namespace"}, {text: "cookie " + strconv.FormatUint(s.Namespace, 10)}},
		{{text: "programs"}, version},
		{{text: "connections"}, {text: fillText(s.Connections, s.Capacity), style: fillStyle(s.Connections, s.Capacity)}},
		{{text: "memory"}, {text: bytesText(s.MemoryBytes)}},
		{{text: "clients here"}, pair},
	}
}

// fillText gives "12,345 of 1,048,576 (1.2 %)".
func fillText(used, capacity uint32) string {
	text := countText(uint64(used)) + " of " + countText(uint64(capacity))
	if capacity == 0 {
		return text
	}
	return text + fmt.Sprintf(" (%.1f %%)", 100*float64(used)/float64(capacity))
}

// fillStyle warns from three quarters on.
func fillStyle(used, capacity uint32) style {
	switch full := float64(used) / float64(max(capacity, 1)); {
	case full >= 0.95:
		return red
	case full >= 0.75:
		return yellow
	}
	return plain
}

func interfaceRows(interfaces []datapath.Interface) [][]cell {
	rows := [][]cell{header("name", "#index", "mode")}
	for _, i := range interfaces {
		mode := cell{text: i.Mode, style: green}
		switch {
		case i.Index == 0:
			mode = cell{text: "deleted", style: red}
		case i.Mode == "generic":
			mode.style = yellow
		}
		rows = append(rows, []cell{{text: i.Name}, number(uint64(i.Index)), mode})
	}
	return rows
}

func programRows(programs []datapath.ProgramStatus) [][]cell {
	rows := [][]cell{header("name", "#id", "tag", "#verified instructions", "#runs")}
	for _, program := range programs {
		runs := number(program.RunCount)
		if program.RunCount == 0 {
			runs = cell{text: "-", style: faint, right: true} // not counted: kernel.bpf_stats_enabled is 0
		}
		rows = append(rows, []cell{
			{text: program.Name},
			{text: strconv.FormatUint(uint64(program.ID), 10), right: true},
			{text: program.Tag},
			number(uint64(program.VerifiedInstructions)), runs,
		})
	}
	return rows
}

func mapRows(maps []datapath.MapStatus) [][]cell {
	rows := [][]cell{header("name", "type", "#entries", "#capacity", "#memory")}
	for _, m := range maps {
		rows = append(rows, []cell{
			{text: m.Name},
			{text: m.Type},
			number(uint64(m.Entries)), number(uint64(m.MaxEntries)),
			{text: bytesText(m.Bytes), right: true},
		})
	}
	return rows
}

// counterRows gives the counters grouped by verdict, in the order of a packet's fortune.
func counterRows(counters []datapath.Counter) [][]cell {
	rows := [][]cell{header("verdict", "counter", "#packets", "meaning")}
	for _, verdict := range []string{"forward", "answer", "pass", "drop"} {
		for _, c := range counters {
			if c.Verdict != verdict {
				continue
			}
			value := number(c.Value)
			switch {
			case c.Value == 0:
				value.style = faint
			case verdict == "drop":
				value.style = red
			}
			rows = append(rows, []cell{{text: verdict}, {text: c.Name}, value, {text: c.Help, style: faint}})
		}
	}
	return rows
}

// header makes the headings of a table; a # before one aligns it with the numbers below.
func header(names ...string) []cell {
	cells := make([]cell, len(names))
	for i, name := range names {
		right := name[0] == '#'
		if right {
			name = name[1:]
		}
		cells[i] = cell{text: name, style: faint, right: right}
	}
	return cells
}

func number(n uint64) cell { return cell{text: countText(n), right: true} }
