package rounds

import (
	"fmt"
	"slices"
)

// Values are what one case measured, a value a round.
type Values []float64

// Median is the middle value; of an even number the higher of the middle two.
func (v Values) Median() float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }

// Text is "median (least .. most)" with so many digits after the point, or "-" without values.
func (v Values) Text(digits int) string {
	if len(v) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f (%.*f .. %.*f)", digits, v.Median(), digits, slices.Min(v), digits, slices.Max(v))
}

// Over gives v / w round by round: a machine that is slow for seconds is slow in both.
func (v Values) Over(w Values) Values {
	ratios := make(Values, min(len(v), len(w)))
	for i := range ratios {
		ratios[i] = v[i] / w[i]
	}
	return ratios
}

// Less gives v - w round by round.
func (v Values) Less(w Values) Values {
	differences := make(Values, min(len(v), len(w)))
	for i := range differences {
		differences[i] = v[i] - w[i]
	}
	return differences
}

// Map gives f of each value.
func (v Values) Map(f func(float64) float64) Values {
	mapped := make(Values, len(v))
	for i, value := range v {
		mapped[i] = f(value)
	}
	return mapped
}
