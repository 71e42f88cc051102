// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// simSlack is what the operator may be wrong about a server's clock, or late: answers can take seconds.
const simSlack = 10 * time.Second

// steady lets hours go by in which nothing happens but what falls due: each write, and each token, has its cause.
func (w *simWorld) steady(d time.Duration) {
	mints := w.count.mints
	w.rotations, w.steadily = 0, true
	w.run(d)
	w.steadily = false
	if minted := w.count.mints - mints; minted != w.rotations && len(w.problems) == 0 {
		w.fail("in a steady state %d tokens were minted and %d replaced", minted, w.rotations)
	}
	if len(w.problems) == 0 {
		w.settled()
	}
}

// restarted: an operator that starts anew and finds everything current mints nothing and writes no Secret (B54), nor
// anything else.
func (w *simWorld) restarted() {
	w.restart()
	w.steady(10 * time.Minute)
}

// judgeSteady: where nobody does anything, a write has a cause that falls due: the end of a token or of an overlap, or
// the hourly time of the last verification.
func (w *simWorld) judgeSteady(c change) {
	due := false
	switch after := c.after.(type) {
	case *v1alpha1.CoderDeployment:
		before, _ := c.before.(*v1alpha1.CoderDeployment)
		due = heartbeatOnly(c) || before != nil && w.tellsOfRenewal(before, after)
	case *v1alpha1.CoderSession:
		before, _ := c.before.(*v1alpha1.CoderSession)
		due = before != nil && w.tellsWhatIsDue(before, after)
	case *corev1.Secret:
		before, _ := c.before.(*corev1.Secret)
		due = before != nil && (w.rotatesInTime(before, after) || c.ref.key == key("coder", "own") && w.renewsInTime(before, after))
	}
	if !due {
		w.fail("in a steady state the operator wrote %s %s: %s", c.ref.kind, c.ref.key, cmp.Diff(plain(c.before), plain(c.after)))
	}
}

// needed is a write that must change something: in a steady state nobody writes what is there already (B54).
func (w *simWorld) needed(r ref, write func() error) func() error {
	return func() error {
		version := w.api.version
		err := write()
		if w.steadily && err == nil && w.api.version == version {
			w.fail("in a steady state the operator wrote %s %s as it was", r.kind, r.key)
		}
		return err
	}
}

// rotatesInTime reports whether a generated Secret changes to the next token, when its session said that it would.
func (w *simWorld) rotatesInTime(before, after *corev1.Secret) bool {
	session, ok := w.api.objects[ref{kindSession, client.ObjectKeyFromObject(after)}].(*v1alpha1.CoderSession)
	if !ok || session.Status.NextRefreshTime == nil {
		return false
	}
	serial := func(s *corev1.Secret) int { n, _ := strconv.Atoi(s.Annotations[v1alpha1.AnnotationSerial]); return n }
	now := w.serves(w.deployment(string(session.Spec.DeploymentRef.Name))).server.Now()
	return serial(after) == serial(before)+1 && !now.Add(simSlack).Before(session.Status.NextRefreshTime.Time)
}

// tellsWhatIsDue reports whether a status changes in nothing but this: tokens whose overlap is over are gone, and where
// the Secret holds the next token it says so and retires the one before.
func (w *simWorld) tellsWhatIsDue(before, after *v1alpha1.CoderSession) bool {
	want := before.DeepCopy().Status
	want.PendingRevocations = slices.DeleteFunc(want.PendingRevocations, func(t v1alpha1.PendingRevocation) bool {
		return !t.RevokeTime.After(w.clock.Now()) && !w.lives(t.ID)
	})
	was, is := before.Status.Token, after.Status.Token
	if was != nil && is != nil && was.ID != is.ID && is.ID == idOf(string(w.secretOf(after).Data["session"])) {
		want.Token, want.Secret, want.NextRefreshTime = is, after.Status.Secret, after.Status.NextRefreshTime
		for _, t := range after.Status.PendingRevocations {
			if t.ID == was.ID && t.RevokeTime.After(w.clock.Now().Add(-simSlack)) {
				want.PendingRevocations = append(want.PendingRevocations, t)
			}
		}
	}
	return encoded(want) == encoded(after.Status)
}

// lives reports whether a server still has a token.
func (w *simWorld) lives(id string) bool {
	token := w.tokens[id]
	return token != nil && token.server.live()[id].ID != ""
}

// plain is an object as a document, for comparison.
func plain(object client.Object) (document map[string]any) {
	if object != nil && !reflect.ValueOf(object).IsNil() {
		_ = json.Unmarshal([]byte(encoded(object)), &document)
	}
	return document
}

// heartbeatOnly: the time of the last verification is brought up to date now and then.
func heartbeatOnly(c change) bool {
	before, ok := c.before.(*v1alpha1.CoderDeployment)
	if !ok || c.after == nil {
		return false
	}
	after := c.after.(*v1alpha1.CoderDeployment).DeepCopy()
	was := before.Status.LastVerifiedTime
	if was == nil || after.Status.LastVerifiedTime.Sub(was.Time) < time.Hour-time.Second {
		return false
	}
	after.Status.LastVerifiedTime = was
	return encoded(after.Status) == encoded(before.Status)
}
