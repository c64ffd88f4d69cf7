package datapath

// tune sets one, as text.
func (r *rig) tune(name, value string) {
	r.t.Helper()
	tune, err := ParseTune(name, value)
	check(r.t, err)
	check(r.t, r.table.SetTunes(tune))
}
