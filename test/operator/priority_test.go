// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// B52: while a limit leaves no room for all, sessions without a credential come before those whose
// token is only to be replaced in good time; these come in the end.
func TestFirstTokensComeBeforeRoutineRefresh(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"))
	olds := []string{"old-1", "old-2", "old-3"}
	var ready []wait.Check
	for _, name := range olds {
		w.Create(w.NewMintedSession(name, "ci-bot", withOverlap("1h")))
		ready = append(ready, w.IsReady(name))
	}
	w.Eventually(ready...)
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.RateLimit.RequestsPerMinute = 180 })
	w.Eventually(w.IsVerified("prod"))

	const sessions = 24 // that need twice what a burst allows
	mints := w.CountMints()
	for i := range sessions {
		w.Create(w.NewMintedSession(fmt.Sprintf("new-%d", i), "ci-bot"))
	}
	w.Eventually(func(context.Context) error {
		if w.CountMints() < mints+11 {
			return errors.New("too much is left of the burst of 30: a token takes two requests")
		}
		return nil
	})
	for _, name := range olds {
		w.requestNewToken(name, "20h")
	}
	served := func() (count int) {
		for i := range sessions {
			if w.IsReady(fmt.Sprintf("new-%d", i))(t.Context()) == nil {
				count++
			}
		}
		return count
	}
	w.Eventually(func(ctx context.Context) error {
		for _, name := range olds {
			if s := w.CurrentSession(name); s.Status.Token.Serial > 1 {
				return nil
			}
		}
		return errors.New("none was replaced yet")
	})
	if got := served(); got < sessions*2/3 {
		t.Errorf("a token was replaced in good time when %d of %d sessions had one", got, sessions)
	}
	w.Eventually(ready...)
}
