package ipvsadm

import "testing"

// TestGrammar replays usages that show how switches and arguments are told apart, most by what
// they are refused for.
func TestGrammar(t *testing.T) {
	commands := readTranscript(t, "70-grammar.txt")
	if len(commands) != 79 {
		t.Fatalf("%d commands in the recording, want 79", len(commands))
	}
	for _, r := range commands {
		r.replay(t, newFake(), goldenHosts)
	}
}
