package pool

import "time"

// A Guard keeps the pools as they were when most servers of everything fail at once: then it is rather the director
// that has lost its uplink.
type Guard struct {
	Percent int           // of all servers that must fail for it to act; 0: never
	Window  time.Duration // what is "at once"
}

// Holding is whether a guard acts. The zero value is that it does not.
type Holding struct {
	From time.Time // failures since then are not believed; zero: all are
}

// Held tells whether the guard acts.
func (h Holding) Held() bool { return !h.From.IsZero() }

// Seen is a real server as its checks see it.
type Seen struct {
	Alive bool
	Since time.Time // of Alive; zero: it has been so from the start
}

// Judge gives whether the guard acts now, and sets Alive where a failure is not to be believed.
func (g Guard) Judge(now time.Time, was Holding, servers []Seen) Holding {
	if g.Percent <= 0 || len(servers) < 2 {
		return Holding{}
	}
	is := was
	if !is.Held() {
		is.From = now.Add(-g.Window)
	}
	failed, before := 0, 0 // of those that were alive before
	for _, s := range servers {
		recent := !s.Alive && !s.Since.IsZero() && !s.Since.Before(is.From)
		if s.Alive || recent {
			before++
		}
		if recent {
			failed++
		}
	}
	if failed < 2 || failed*100 < g.Percent*before {
		return Holding{}
	}
	for i, s := range servers {
		if !s.Alive && !s.Since.IsZero() && !s.Since.Before(is.From) {
			servers[i].Alive = true
		}
	}
	return is
}
