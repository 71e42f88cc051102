// SPDX-License-Identifier: Apache-2.0

package simulation

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
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
)

// simSlack is the tolerated error of the operator's estimate of a server's clock, and the
// tolerated delay of an action.
const simSlack = 10 * time.Second

// steady advances the time without any changes from outside. Each write and each minted token
// must have a cause that has become due.
func (w *simWorld) steady(d time.Duration) {
	mints := w.count.mints
	check := w.watchCalls()
	w.rotations, w.steadily = 0, true
	w.run(d)
	w.steadily = false
	check()
	if minted := w.count.mints - mints; minted != w.rotations && len(w.problems) == 0 {
		w.fail("in a steady state %d tokens were minted and %d replaced", minted, w.rotations)
	}
	if len(w.problems) == 0 {
		w.settled()
	}
}

// restarted checks that an operator that is restarted and finds everything up to date mints
// no token (B54) and writes nothing.
func (w *simWorld) restarted() {
	w.restart()
	w.steady(10 * time.Minute)
}

// judgeSteady checks that without any changes from outside a write has a cause that has become
// due: the expiration of a token, the end of an overlap, or the update of the time of
// the last verification with each regular one.
func (w *simWorld) judgeSteady(c change) {
	due := false
	switch after := c.after.(type) {
	case *v1alpha1.CoderDeployment:
		before, _ := c.before.(*v1alpha1.CoderDeployment)
		due = heartbeatOnly(c) || before != nil && w.tellsOfRenewal(before, after)
	case *v1alpha1.CoderSession:
		before, _ := c.before.(*v1alpha1.CoderSession)
		due = before != nil && (w.tellsWhatIsDue(before, after) || w.refreshesInTime(before) || w.rolls(before))
	case *corev1.Secret:
		before, _ := c.before.(*corev1.Secret)
		own := c.ref.key == key("coder", "own")
		session, _ := w.api.objects[ref{kindSession, c.ref.key}].(*v1alpha1.CoderSession)
		if w.refreshesInTime(session) || w.refreshesInTime(w.sessionOfDocument(c.ref)) {
			return
		}
		due = before != nil && (w.rotatesInTime(before, after) || own && w.renewsInTime(before, after))
	}
	if !due {
		w.fail("in a steady state the operator wrote %s %s: %s",
			c.ref.kind, c.ref.key, cmp.Diff(plain(c.before), plain(c.after)))
	}
}

// needed wraps a write and checks that it changes something: in a steady state there are no
// writes without an effect (B54).
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

// rotatesInTime reports whether a generated Secret changes to the next token not before the
// nextRefreshTime of its session.
func (w *simWorld) rotatesInTime(before, after *corev1.Secret) bool {
	session, ok := w.api.objects[ref{kindSession, client.ObjectKeyFromObject(after)}].(*v1alpha1.CoderSession)
	if !ok || session.Status.NextRefreshTime == nil {
		return false
	}
	serial := func(s *corev1.Secret) int { n, _ := strconv.Atoi(s.Annotations[v1alpha1.AnnotationSerial]); return n }
	now := w.serves(w.deployment(string(session.Spec.DeploymentRef.Name))).server.Now()
	return serial(after) == serial(before)+1 && !now.Add(simSlack).Before(session.Status.NextRefreshTime.Time)
}

// tellsWhatIsDue reports whether a status changes only in the expected way: tokens whose
// overlap has ended are removed, and if the Secret holds the next token, the status shows it
// and lists the previous one as a pending revocation.
func (w *simWorld) tellsWhatIsDue(before, after *v1alpha1.CoderSession) bool {
	want := before.DeepCopy().Status
	want.PendingRevocations = slices.DeleteFunc(want.PendingRevocations, func(t v1alpha1.PendingRevocation) bool {
		return !t.RevokeTime.After(w.wall()) && !w.lives(t.ID)
	})
	was, is := before.Status.Token, after.Status.Token
	if was != nil && is != nil && was.ID != is.ID && is.ID == idOf(string(w.secretOf(after).Data["session"])) {
		want.Token, want.Secret, want.NextRefreshTime = is, after.Status.Secret, after.Status.NextRefreshTime
		for _, t := range after.Status.PendingRevocations {
			if t.ID == was.ID && t.RevokeTime.After(w.wall().Add(-simSlack)) {
				want.PendingRevocations = append(want.PendingRevocations, t)
			}
		}
	}
	slices.SortStableFunc(want.PendingRevocations, func(a, b v1alpha1.PendingRevocation) int {
		return a.RevokeTime.Compare(b.RevokeTime.Time)
	})
	return encoded(want) == encoded(after.Status)
}

// lives reports whether a token is still valid on its server.
func (w *simWorld) lives(id string) bool {
	token := w.tokens[id]
	return token != nil && token.server.live()[id].ID != ""
}

// plain converts an object to a JSON document for comparison.
func plain(object client.Object) (document map[string]any) {
	if object != nil && !reflect.ValueOf(object).IsNil() {
		_ = json.Unmarshal([]byte(encoded(object)), &document)
	}
	return document
}

// heartbeatOnly reports whether a write only updates the time of the last verification, after half
// an interval at the earliest (B126).
func heartbeatOnly(c change) bool {
	before, ok := c.before.(*v1alpha1.CoderDeployment)
	if !ok || c.after == nil {
		return false
	}
	after := c.after.(*v1alpha1.CoderDeployment).DeepCopy()
	was := before.Status.LastVerifiedTime
	least := deployment.VerifyInterval(before)/2 - time.Second
	if was == nil || after.Status.LastVerifiedTime.Sub(was.Time) < least {
		return false
	}
	after.Status.LastVerifiedTime = was
	return encoded(after.Status) == encoded(before.Status)
}
