package demo

import "drover/internal/lab"

// An Event is something that happened, in the order in which a person wants to read it: Scene, Command,
// Waiting, Answers, Crossing, Sightings or Check.
type Event interface{ event() }

// Scene is the lab, when it is up.
type Scene struct{ Lab lab.Status }

// Command is a line that was typed at a node, and all that it wrote.
type Command struct{ Node, Line, Output string }

// Waiting is progress that matters only until the next event. Done and Of may be 0.
type Waiting struct {
	Text     string
	Done, Of int
}

// Answers says how often each server answered.
type Answers struct {
	Requests int
	Servers  []Share
}

// A Crossing is one packet before and after the director.
type Crossing struct {
	Packet        string // which one
	Before, After string // from whom to whom
	Rows          []CrossingRow
	Rest          int  // bytes in none of the rows
	RestChanged   bool // among them
}

// A CrossingRow is one field of the headers. Before is empty if the director added it.
type CrossingRow struct {
	Field, Before, After string
	Changed              bool
}

// Sightings tells where the packets of the replies were seen.
type Sightings struct {
	Source string
	Ports  []Sighting
}

// A Sighting is a switch port and how many packets from the VIP crossed it.
type Sighting struct {
	Node    string
	Packets int
}

// A Check is something that must hold, and whether it does.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func (Scene) event()     {}
func (Command) event()   {}
func (Waiting) event()   {}
func (Answers) event()   {}
func (Crossing) event()  {}
func (Sightings) event() {}
func (Check) event()     {}
