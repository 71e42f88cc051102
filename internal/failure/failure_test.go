// SPDX-License-Identifier: Apache-2.0

package failure_test

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

func TestBackoffDoublesUpToTheLimit(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		failures int
		limit    time.Duration
		want     time.Duration
	}{
		"none yet":                {0, time.Minute, time.Second},
		"the first":               {1, time.Minute, time.Second},
		"the second":              {2, time.Minute, 2 * time.Second},
		"the sixth":               {6, time.Minute, 32 * time.Second},
		"the seventh":             {7, time.Minute, time.Minute},
		"more than can overflow":  {1000, time.Minute, time.Minute},
		"a limit below a second":  {1, 100 * time.Millisecond, 100 * time.Millisecond},
		"a limit of several days": {17, 1000 * time.Hour, 1000 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := failure.Backoff(tc.failures, tc.limit); got != tc.want {
				t.Errorf("Backoff(%d, %s) = %s, want %s", tc.failures, tc.limit, got, tc.want)
			}
		})
	}
}

func TestOfFindsTheLastFailureOfItsActions(t *testing.T) {
	t.Parallel()
	set := failure.Set{
		{Action: "Mint", Message: "one"}, {Action: "Revoke", Message: "two"}, {Action: "Restart", Message: "three"},
	}
	for name, tc := range map[string]struct {
		set     failure.Set
		actions []string
		want    string
	}{
		"one":            {set, []string{"Mint"}, "one"},
		"the later one":  {set, []string{"Mint", "Revoke"}, "two"},
		"another action": {set, []string{"Publish"}, ""},
		"no action":      {set, nil, ""},
		"an empty set":   {nil, []string{"Mint"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if f := tc.set.Of(tc.actions...); f != nil {
				got = f.Message
			}
			if got != tc.want {
				t.Errorf("Of(%v) = %q, want %q", tc.actions, got, tc.want)
			}
		})
	}
}
