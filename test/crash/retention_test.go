// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// keepOne lets the deployment keep one session only.
func (w *crashEnv) keepOne() {
	w.T.Helper()
	one := int32(1)
	editObject(w, w.newDeployment(), func(d *v1alpha1.CoderDeployment) { d.Spec.Retention = &v1alpha1.Retention{MaxSessions: &one} })
}

// inTurn makes the session ci, and then the session other.
func (w *crashEnv) inTurn() {
	w.T.Helper()
	w.Create(w.newDeployment(), w.newMintedSession("ci", "ci-bot", "1h"))
	w.Eventually(w.oneToken("ci"))
	w.clock.Shift(time.Minute)
	w.Create(w.newMintedSession("other", "ada", "1h"))
	w.Eventually(w.oneToken("other"))
	w.clock.Shift(time.Minute)
}

func askForRenewal(s *v1alpha1.CoderSession) {
	s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: request}
}

const request = "2026-03-01T12:00:00Z"

// isRetired: the session says so, and nothing of it is left: no Secret, no token.
func (w *crashEnv) isRetired(name string) check {
	return func(ctx context.Context) error {
		s := &v1alpha1.CoderSession{}
		if err := w.Get(ctx, name, s); err != nil {
			return err
		}
		if err := readyOf(s, "False", v1alpha1.ReasonRetired); err != nil {
			return err
		}
		if s.Status.Retirement == nil || s.Status.Token != nil {
			return fmt.Errorf("session %s: retirement %+v, token %+v", name, s.Status.Retirement, s.Status.Token)
		}
		if live := w.LiveTokens(names.SessionPrefix(string(s.UID))); len(live) > 0 {
			return fmt.Errorf("session %s is retired and has the live tokens %s", name, describeTokens(live))
		}
		if err := w.Get(ctx, name, &corev1.Secret{}); err == nil {
			return fmt.Errorf("session %s is retired and has a Secret", name)
		}
		return checkNoPendingRevocation(s)
	}
}

// isRenewed: the request is handled, by the one token that was minted for it.
func (w *crashEnv) isRenewed(serial int64) check {
	return func(ctx context.Context) error {
		s := &v1alpha1.CoderSession{}
		if err := w.Get(ctx, "ci", s); err != nil {
			return err
		}
		if s.Status.LastHandledRenewAt != request || s.Status.Token == nil || s.Status.Token.Serial != serial {
			return fmt.Errorf("handled is %q with token %+v, want serial %d", s.Status.LastHandledRenewAt, s.Status.Token, serial)
		}
		return nil
	}
}

// retireSession of a session with a retiring token besides (B27).
func retireSession(w *crashEnv) scenario {
	return scenario{
		prepare: func() {
			w.inTurn()
			editObject(w, w.CurrentSession("ci"), changeScopes)
			w.Eventually(w.hasSerial("ci", 2), w.readyIs("ci", "True", v1alpha1.ReasonActive))
			w.clock.Shift(time.Minute)
			editObject(w, w.CurrentSession("other"), askForRenewal)
			w.Eventually(w.hasSerial("other", 2))
			w.clock.Shift(time.Minute)
		},
		trigger: w.keepOne,
		done:    all(w.isRetired("ci"), w.readyIs("other", "True", v1alpha1.ReasonActive)),
	}
}

// returnOfARetiredSession costs the other one its place (B27).
func returnOfARetiredSession(w *crashEnv) scenario {
	return scenario{
		prepare: func() {
			w.inTurn()
			w.keepOne()
			w.Eventually(w.isRetired("ci"), w.oneToken("other"))
		},
		trigger: func() { editObject(w, w.CurrentSession("ci"), askForRenewal) },
		done:    all(w.oneToken("ci"), w.isRenewed(1), w.isRetired("other")),
	}
}

// renewalOnRequest is one new token for one request.
func renewalOnRequest(w *crashEnv) scenario {
	return scenario{
		prepare: func() { w.createWithToken(shortly) },
		trigger: func() { editObject(w, w.CurrentSession("ci"), askForRenewal) },
		done:    all(w.isRenewed(2), w.oneToken("ci")),
		gapless: true,
	}
}
