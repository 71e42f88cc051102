// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"testing"
	"time"
)

// A time that was stored while the clock was ahead counts from when it was first seen, so that
// what depends on it is done in time after the clock was set back (B115).
func TestStoredTimesAreNotInTheFuture(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	var seen seenTime
	for _, step := range []struct {
		after, stored, want time.Duration // since now
	}{
		{after: 0, stored: -time.Hour, want: -time.Hour},
		{after: time.Minute, stored: 6 * time.Hour, want: time.Minute},
		{after: 5 * time.Minute, stored: 6 * time.Hour, want: time.Minute},
		{after: 7 * time.Hour, stored: 6 * time.Hour, want: time.Minute},
		{after: 7 * time.Hour, stored: 8 * time.Hour, want: 7 * time.Hour},
	} {
		if got := seen.notAfter(now.Add(step.after), now.Add(step.stored)); !got.Equal(now.Add(step.want)) {
			t.Errorf("%s later, for one that is stored as %s: got %s, want %s",
				step.after, step.stored, got.Sub(now), step.want)
		}
	}
}
