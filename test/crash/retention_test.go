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
func (w *world) keepOne() {
	w.t.Helper()
	one := int32(1)
	change(w, w.deployment(), func(d *v1alpha1.CoderDeployment) { d.Spec.Retention = &v1alpha1.Retention{MaxSessions: &one} })
}

// inTurn makes the session ci, and then the session other.
func (w *world) inTurn() {
	w.t.Helper()
	w.create(w.deployment(), w.minted("ci", "ci-bot", "1h"))
	w.eventually(w.oneToken("ci"))
	w.clock.Shift(time.Minute)
	w.create(w.minted("other", "ada", "1h"))
	w.eventually(w.oneToken("other"))
	w.clock.Shift(time.Minute)
}

func askForRenewal(s *v1alpha1.CoderSession) {
	s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: request}
}

const request = "2026-03-01T12:00:00Z"

// retired: the session says so, and nothing of it is left: no Secret, no token.
func (w *world) retired(name string) check {
	return func(ctx context.Context) error {
		s := &v1alpha1.CoderSession{}
		if err := w.get(ctx, name, s); err != nil {
			return err
		}
		if err := readyOf(s, "False", v1alpha1.ReasonRetired); err != nil {
			return err
		}
		if s.Status.Retirement == nil || s.Status.Token != nil {
			return fmt.Errorf("session %s: retirement %+v, token %+v", name, s.Status.Retirement, s.Status.Token)
		}
		if live := w.live(names.SessionPrefix(string(s.UID))); len(live) > 0 {
			return fmt.Errorf("session %s is retired and has the live tokens %s", name, serials(live))
		}
		if err := w.get(ctx, name, &corev1.Secret{}); err == nil {
			return fmt.Errorf("session %s is retired and has a Secret", name)
		}
		return noneRetiring(s)
	}
}

// renewed: the request is handled, by the one token that was minted for it.
func (w *world) renewed(serial int64) check {
	return func(ctx context.Context) error {
		s := &v1alpha1.CoderSession{}
		if err := w.get(ctx, "ci", s); err != nil {
			return err
		}
		if s.Status.LastHandledRenewAt != request || s.Status.Token == nil || s.Status.Token.Serial != serial {
			return fmt.Errorf("handled is %q with token %+v, want serial %d", s.Status.LastHandledRenewAt, s.Status.Token, serial)
		}
		return nil
	}
}

// retirement of a session with a retiring token besides (B27).
func retirement(w *world) scenario {
	return scenario{
		prepare: func() {
			w.inTurn()
			change(w, w.nowSession("ci"), changeScopes)
			w.eventually(w.serial("ci", 2), w.readyIs("ci", "True", v1alpha1.ReasonActive))
			w.clock.Shift(time.Minute)
			change(w, w.nowSession("other"), askForRenewal)
			w.eventually(w.serial("other", 2))
			w.clock.Shift(time.Minute)
		},
		trigger: w.keepOne,
		done:    all(w.retired("ci"), w.readyIs("other", "True", v1alpha1.ReasonActive)),
	}
}

// returnOfARetiredSession costs the other one its place (B27).
func returnOfARetiredSession(w *world) scenario {
	return scenario{
		prepare: func() {
			w.inTurn()
			w.keepOne()
			w.eventually(w.retired("ci"), w.oneToken("other"))
		},
		trigger: func() { change(w, w.nowSession("ci"), askForRenewal) },
		done:    all(w.oneToken("ci"), w.renewed(1), w.retired("other")),
	}
}

// renewalOnRequest is one new token for one request.
func renewalOnRequest(w *world) scenario {
	return scenario{
		prepare: func() { w.standing(shortly) },
		trigger: func() { change(w, w.nowSession("ci"), askForRenewal) },
		done:    all(w.renewed(2), w.oneToken("ci")),
		gapless: true,
	}
}
