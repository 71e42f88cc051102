// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// decideToRetire lets retention retire the session, based on its current activity.
func (w *sessionModel) decideToRetire() {
	w.o.Retention = RetentionDecision{
		Reason: v1alpha1.RetirementSessionLimit, Message: "no room",
		LastActiveTime: LastActive(w.o.Session, time.Time{}, 0),
	}
}

// requestRenewal requests a renewal, in a later second than everything before.
func (w *sessionModel) requestRenewal(request string) {
	w.now = w.now.Add(2 * time.Second)
	w.o.Session.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: request}
}

// restartOperator restarts the operator.
func (w *sessionModel) restartOperator() {
	w.listed, w.listLoaded = map[string]Listed{}, false
	w.o.CredentialCheck, w.o.Retention = CredentialCheck{}, RetentionDecision{}
}

// B27, B28, B54: plans carried out one after the other retire a session and bring it back, whatever
// happens in between.
func TestRetentionScenarios(t *testing.T) {
	t.Parallel()
	retire := func(w *sessionModel) {
		w.passUntilQuiet()
		w.decideToRetire()
		w.mayBreak = true // its credential goes
		w.passUntilQuiet()
		w.requireReady("False Retired")
		w.requireAcceptedTokens()
		w.requirePublished("")
	}
	for name, run := range map[string]func(w *sessionModel){
		"retired, for days, over a restart, and back on request": func(w *sessionModel) {
			retire(w)
			writes := w.statusWrites
			w.advanceTime(48 * time.Hour)
			w.restartOperator()
			w.advanceTime(48 * time.Hour)
			if w.requireReady("False Retired"); w.minted != 1 || w.statusWrites != writes {
				w.t.Errorf("%d tokens and %d writes in days of rest", w.minted, w.statusWrites-writes)
			}
			w.requestRenewal("one")
			w.passUntilQuiet()
			w.requireReady("True Active")
			w.requireAcceptedTokens("id-2")
			s := w.o.Session.Status
			if s.Retirement != nil || s.LastHandledRenewAt != "one" || !s.LastActivityTime.Time.Equal(w.now) {
				w.t.Errorf("status says %+v", s)
			}
		},
		"back on request, and the earlier decision does not count": func(w *sessionModel) {
			retire(w)
			w.requestRenewal("one")
			w.passUntilQuiet()
			w.advanceTime(20 * time.Hour)
			w.requireReady("True Active")
			w.decideToRetire()
			w.advanceTime(time.Hour)
			w.o.Retention.LastActiveTime = w.now
			w.passUntilQuiet()
			w.requireReady("False Retired")
		},
		"back by a change of its spec": func(w *sessionModel) {
			retire(w)
			w.now = w.now.Add(2 * time.Second)
			w.o.Session.Generation++
			w.passUntilQuiet()
			w.requireReady("True Active")
			w.requireAcceptedTokens("id-2")
		},
		"back because there is room, and gone again": func(w *sessionModel) {
			retire(w)
			last := w.o.Session.Status.Retirement.LastActiveTime
			w.advanceTime(time.Hour)
			w.o.Retention = RetentionDecision{MayReturn: true}
			w.passUntilQuiet()
			w.requireReady("True Active")
			if since := w.o.Session.Status.LastActivityTime; !since.Equal(&last) {
				w.t.Errorf("active since %s, retired for %s", since, last)
			}
			w.decideToRetire()
			w.passUntilQuiet()
			w.requireReady("False Retired")
			w.requireAcceptedTokens()
		},
		"asked back while the server is down": func(w *sessionModel) {
			retire(w)
			w.down = true
			w.listTokens()
			w.requestRenewal("one")
			w.runPass()
			w.advanceTime(time.Hour)
			w.requireReady("False AwaitingDeployment")
			w.down = false
			w.advanceTime(6 * time.Minute)
			w.requireReady("True Active")
			w.requireAcceptedTokens("id-2")
		},
		"retired while the server is down": func(w *sessionModel) {
			w.passUntilQuiet()
			w.decideToRetire()
			w.mayBreak = true
			w.runPass()
			w.down = true
			w.listTokens()
			w.passUntilQuiet()
			w.requirePublished("")
			w.requireAcceptedTokens("id-1")
			w.advanceTime(20 * time.Minute)
			w.down = false
			w.advanceTime(6 * time.Minute)
			w.requireReady("False Retired")
			w.requireAcceptedTokens()
		},
		"retired in the middle of a rotation": func(w *sessionModel) {
			w.passUntilQuiet()
			w.advanceTime(16*time.Hour + time.Second)
			w.requireAcceptedTokens("id-1", "id-2")
			w.decideToRetire()
			w.mayBreak = true
			w.passUntilQuiet()
			w.requireAcceptedTokens()
		},
		"deleted while it is retired": func(w *sessionModel) {
			retire(w)
			w.deleteSession()
			w.passUntilQuiet()
			if !w.gone || len(w.abandoned) > 0 {
				w.t.Errorf("gone = %t, left %v", w.gone, w.abandoned)
			}
		},
		"B42 B43 renewed on request, with the usual overlap": func(w *sessionModel) {
			w.passUntilQuiet()
			w.requestRenewal("one")
			w.passUntilQuiet()
			w.requirePublished("id-2")
			w.requireAcceptedTokens("id-1", "id-2")
			w.advanceTime(6 * time.Minute)
			w.requireAcceptedTokens("id-2")
			w.restartOperator()
			w.o.Session.Status.LastHandledRenewAt = "" // whatever status has lost
			w.passUntilQuiet()
			w.requirePublished("id-2")
			w.requestRenewal("two")
			w.passUntilQuiet()
			w.requirePublished("id-3")
		},
		"asked for while it is paused": func(w *sessionModel) {
			w.passUntilQuiet()
			w.o.Session.Spec.Paused = true
			w.requestRenewal("one")
			w.passUntilQuiet()
			w.requirePublished("id-1")
			w.o.Session.Spec.Paused = false
			w.passUntilQuiet()
			w.requirePublished("id-2")
			w.requireReady("True Active")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(newSessionModel(t, withMint("bot")))
		})
	}
}

// B40: wherever the operator's process ends while it retires or renews a session, a retired session
// ends without a token, and a renewed one with a single token that was minted for the request.
func TestCrashesInRetention(t *testing.T) {
	t.Parallel()
	t.Run("retirement", func(t *testing.T) {
		t.Parallel()
		w := newSessionModel(t, withMint("bot"))
		w.passUntilQuiet()
		w.decideToRetire()
		w.mayBreak, w.crashAfter = true, "revoke"
		w.runPass()
		w.restartOperator()
		w.passUntilQuiet()
		w.listTokens()
		w.passUntilQuiet()
		w.requireReady("False Retired")
		w.requireAcceptedTokens()
		if w.minted != 1 {
			t.Errorf("%d tokens", w.minted)
		}
	})
	for _, point := range []string{"mint", "publish"} {
		t.Run("renewal, after "+point, func(t *testing.T) {
			t.Parallel()
			w := newSessionModel(t, withMint("bot"))
			w.passUntilQuiet()
			w.requestRenewal("one")
			w.crashAfter = point
			w.runPass()
			w.restartOperator()
			w.passUntilQuiet()
			w.listTokens()
			w.passUntilQuiet()
			w.advanceTime(11 * time.Minute)
			w.requireReady("True Active")
			most, handled := map[string]int{"mint": 3, "publish": 2}[point], w.o.Session.Status.LastHandledRenewAt
			if len(w.tokens) != 1 || w.minted > most || handled != "one" {
				t.Errorf("%d live tokens, %d minted, handled %q", len(w.tokens), w.minted, handled)
			}
		})
	}
}
