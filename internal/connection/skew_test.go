// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// B53: how precise a Date header is depends on how long the response took.
func TestSkewIsHeldUntilAnAnswerContradictsIt(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 2, 20, 10, 0, 30, 0, time.UTC)
	const second = time.Second
	for name, tc := range map[string]struct {
		held, date, took, want time.Duration // date: the header, after the end of the request
	}{
		"the same time":                      {},
		"noise ahead":                        {date: 1900 * time.Millisecond},
		"noise behind, cut to the second":    {date: -2900 * time.Millisecond},
		"ahead":                              {date: 2 * second, want: 2 * second},
		"ahead by a part of a second more":   {date: 2900 * time.Millisecond, want: 2 * second},
		"minutes ahead":                      {date: 300 * second, want: 300 * second},
		"behind":                             {date: -300 * second, want: -299 * second},
		"a slow answer, dated at its begin":  {date: -20 * second, took: 20 * second},
		"a slow answer, dated at its end":    {took: 20 * second},
		"a slow answer of a clock behind":    {date: -25 * second, took: 20 * second, want: -4 * second},
		"a slow answer knows less than held": {held: 300 * second, date: 290 * second, took: 20 * second, want: 300 * second},
		"held within a second":               {held: 300 * second, date: 299500 * time.Millisecond, want: 300 * second},
		"put right":                          {held: 300 * second, want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := coder.Call{ServerTime: end.Add(tc.date), Duration: tc.took}
			if got := skewAfter(tc.held, call, end); got != tc.want {
				t.Errorf("skew %s, want %s", got, tc.want)
			}
		})
	}
}
