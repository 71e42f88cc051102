// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// createdAt is a token that was created so long after the first listing.
func createdAt(id string, after time.Duration) coder.Token {
	token := newToken(id)
	token.CreatedAt = listedAt.Add(after)
	return token
}

// B40: what nothing names is foreign only if it was created clearly after the first listing, and was not
// asked for by this process. Before the first listing nothing is.
func TestForeignTokens(t *testing.T) {
	t.Parallel()
	attempts := NewAttempts(func() time.Time { return listedAt })
	i := newInventoryOf(NewBudget(DefaultBudget), "coder", attempts)
	late := createdAt("late", time.Hour)
	if i.IsForeign(late) {
		t.Error("a token is foreign although none were listed")
	}
	refreshWith(t, i, nil)
	attempts.Begin(prefix+"own", time.Hour)
	attempts.RecordMinted(prefix+"own", "own", time.Hour)
	attempts.Begin(prefix+"unanswered", time.Hour)
	attempts.Begin(prefix+"refused", time.Hour)
	attempts.RecordRefused(prefix + "refused")
	i.Remove("own")
	for id, want := range map[string]bool{"late": true, "own": false, "unanswered": false, "refused": true} {
		if i.IsForeign(createdAt(id, time.Hour)) != want {
			t.Errorf("token %s is foreign: %t", id, !want)
		}
	}
	if i.IsForeign(createdAt("predecessor's", predecessorMargin)) || !i.IsUnknown(createdAt("predecessor's", 0)) {
		t.Error("a token of the process before is foreign, or known")
	}
	i.Clear()
	if i.IsForeign(late) {
		t.Error("a token of another server is foreign before that one was listed")
	}
}

// The server's clock was set back before the first listing: what a crash has left behind is not foreign.
func TestAServerClockThatWasSetBack(t *testing.T) {
	t.Parallel()
	i := newInventory()
	left := createdAt("left", 5*time.Hour)
	refreshWith(t, i, []coder.Token{left})
	if i.IsForeign(left) {
		t.Error("it is foreign")
	}
}

// Attempts are forgotten when their tokens have ended.
func TestAttemptsAreForgotten(t *testing.T) {
	t.Parallel()
	now := listedAt
	attempts := NewAttempts(func() time.Time { return now })
	attempts.Begin("a", time.Hour)
	attempts.RecordMinted("b", "b", time.Hour)
	attempts.RecordMinted("c", "c", 100*time.Hour)
	attempts.recordRemoved("c")
	if unanswered := attempts.Begin("a", time.Hour); !unanswered {
		t.Error("an unanswered attempt is not known")
	}
	now = now.Add(time.Hour + attemptRest + time.Minute)
	attempts.Begin("d", time.Hour)
	if len(attempts.minted) != 0 || len(attempts.unanswered) != 1 {
		t.Errorf("%v and %v are remembered", attempts.minted, attempts.unanswered)
	}
}
