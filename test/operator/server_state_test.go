// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// B40, B45: the server was restored from an older backup. Sessions whose tokens it does not know are
// minted again, once each; and tokens that were revoked since the backup, which live again, are revoked
// again.
func TestAServerThatLostItsState(t *testing.T) {
	const sessions = 10
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")))
	var ready []wait.Check
	for i := range sessions {
		name := fmt.Sprintf("s%d", i)
		w.Create(w.NewMintedSession(name, "ci-bot", withOverlap("1s")))
		ready = append(ready, w.IsReady(name))
	}
	w.Eventually(append(ready, w.hasLiveTokens(sessions))...)
	forgotten := w.mintedTokens()
	for _, key := range forgotten {
		w.Must(w.Coder.RevokeKey(key.ID))
	}
	w.Eventually(append(ready, w.hasLiveTokens(sessions))...)
	w.Throughout(time.Second, w.hasLiveTokens(sessions))
	if got := w.CountMints(); got != 2*sessions {
		t.Errorf("%d tokens were minted, want %d", got, 2*sessions)
	}

	for _, key := range forgotten {
		_, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: "ci-bot", Name: key.Name, Lifetime: time.Hour})
		w.Must(err)
	}
	w.Eventually(append(ready, w.hasLiveTokens(sessions))...)
	for _, key := range forgotten {
		if w.isLive(key.Name) {
			t.Errorf("token %s lives again", key.Name)
		}
	}
	if got := w.CountMints(); got != 2*sessions {
		t.Errorf("%d tokens were minted, want %d", got, 2*sessions)
	}
}

// A user whom a provisioning system made and who was never there is dormant. Coder activates the user
// with the first use of a token (contract A.5), so the session gets one and is not suspended.
func TestADormantUserGetsAToken(t *testing.T) {
	w := newEnv(t, withMTLS)
	_, err := w.Coder.CreateUser(coderd.UserOptions{Username: "sleepy", Status: coderd.StatusDormant})
	w.Must(err)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")), w.NewMintedSession("ci", "sleepy"))
	w.Eventually(w.IsReady("ci"), w.hasLiveTokens(1))
	verified := w.countVerifications()
	w.Eventually(func(context.Context) error {
		if w.countVerifications() < verified+2 {
			return errors.New("the deployment was not verified again")
		}
		return nil
	})
	if s := w.CurrentSession("ci"); s.Status.Suspension != nil || w.CountMints() != 1 {
		t.Errorf("%+v, and %d tokens were minted", s.Status.Suspension, w.CountMints())
	}
	w.Eventually(w.IsReady("ci"))
	if user := w.CurrentSession("ci").Status.User; user == nil || user.Username != "sleepy" {
		t.Errorf("the user is %+v", user)
	}
}
