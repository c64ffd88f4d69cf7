package pool

// ChangeKind is what has changed.
type ChangeKind int

// The kinds.
const (
	ServerUp ChangeKind = iota + 1
	ServerDown
	WeightChanged
	QuorumUp
	QuorumDown
	SorryIn
	SorryOut
)

// A Change is one step from a State to the next.
type Change struct {
	Kind               ChangeKind
	Server             int   // index of the real server, or -1
	From, To           int32 // of a weight
	Sum                int   // of the quorum: weights of the servers that are alive
	Quorum, Hysteresis int
}
