// SPDX-License-Identifier: Apache-2.0

package podsession

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// newParent has room for two pods.
func newParent(changes ...func(*v1alpha1.CoderSession)) *v1alpha1.CoderSession {
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "ci"}}
	s.Spec.Auth.Mint = &v1alpha1.MintAuth{User: "bot", Lifetime: "1h"}
	s.Spec.PerPod = &v1alpha1.PerPod{MaxPods: 2}
	for _, change := range changes {
		change(s)
	}
	return s
}

func withoutPerPod(s *v1alpha1.CoderSession) { s.Spec.PerPod = nil }

func paused(s *v1alpha1.CoderSession) { s.Spec.Paused = true }

func beingDeleted(s *v1alpha1.CoderSession) { s.DeletionTimestamp = ptr.To(metav1.NewTime(noon)) }

func narrowed(s *v1alpha1.CoderSession) { s.Spec.Auth.Mint.Scopes = []v1alpha1.Scope{"workspace:read"} }

func suppliesToken(s *v1alpha1.CoderSession) {
	s.Spec.Auth = v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{
		SecretRef: v1alpha1.TokenSecretRef{Name: "mine", Key: "token"},
	}}
}

func maxPods(n int32) func(*v1alpha1.CoderSession) {
	return func(s *v1alpha1.CoderSession) { s.Spec.PerPod.MaxPods = n }
}

func renewalAsked(at string) func(*v1alpha1.CoderSession) {
	return func(s *v1alpha1.CoderSession) {
		s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: at}
	}
}

// newOwnSession is that of the pod p-a, with the spec of newParent, which is rotated in an hour.
func newOwnSession(changes ...func(*v1alpha1.CoderSession)) *v1alpha1.CoderSession {
	s := &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "builds", Name: "ci-bcdfghjk", Labels: map[string]string{v1alpha1.LabelParent: "ci"},
			OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "v1", Kind: "Pod", Name: "p-a", UID: "a", Controller: ptr.To(true)},
			},
		},
		Spec: SpecFor(newParent()),
	}
	s.Status.NextRefreshTime = ptr.To(metav1.NewTime(noon.Add(time.Hour)))
	for _, change := range changes {
		change(s)
	}
	return s
}

func rotatedIn(d time.Duration) func(*v1alpha1.CoderSession) {
	return func(s *v1alpha1.CoderSession) { s.Status.NextRefreshTime = ptr.To(metav1.NewTime(noon.Add(d))) }
}

func neverRotated(s *v1alpha1.CoderSession) { s.Status.NextRefreshTime = nil }

func namesNoParent(s *v1alpha1.CoderSession) { s.Labels = nil }

func notControlled(s *v1alpha1.CoderSession) { s.OwnerReferences[0].Controller = nil }

func withUID(uid types.UID) func(*v1alpha1.CoderSession) {
	return func(s *v1alpha1.CoderSession) { s.UID = uid }
}

func ofParent(uid string) func(*v1alpha1.CoderSession) {
	return func(s *v1alpha1.CoderSession) {
		s.Annotations = map[string]string{v1alpha1.AnnotationParentUID: uid}
	}
}

func ofDeployment(s *v1alpha1.CoderSession) { s.Spec.DeploymentRef.Name = "another" }

func podNamed(uid string) Pod { return Pod{Name: "p-" + uid, UID: types.UID(uid), Created: noon} }

// outcome is what tests compare of a plan.
type outcome struct {
	Action Action
	For    types.UID
	// Refused pods, by UID.
	Refused string
	Renewal string
	Requeue time.Duration
}

// outcomeOf also checks that a plan with a spec has that of the parent.
func outcomeOf(o Observation, p Plan) outcome {
	got := outcome{Action: p.Action, For: p.Pod.UID, Renewal: p.RenewalRequest}
	for _, pod := range p.Refused {
		got.Refused += string(pod.UID)
	}
	if !p.RequeueAt.IsZero() {
		got.Requeue = p.RequeueAt.Sub(o.Now)
	}
	return got
}

type row struct {
	seen Observation
	want outcome
	// refusal is a part of why pods are refused; empty: none is.
	refusal string
}

func checkRows(t *testing.T, rows map[string]row) {
	t.Helper()
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r.seen.Now = noon
			p := Decide(r.seen)
			if diff := cmp.Diff(r.want, outcomeOf(r.seen, p)); diff != "" {
				t.Errorf("unexpected plan (-want +got):\n%s", diff)
			}
			if (p.Refusal == "") != (r.refusal == "") || !strings.Contains(p.Refusal, r.refusal) {
				t.Errorf("refused because %q, want %q", p.Refusal, r.refusal)
			}
		})
	}
}

// B150, B151, B154: a pod that waits gets a session if its parent serves it.
func TestPodsThatWait(t *testing.T) {
	t.Parallel()
	a, b := podNamed("a"), podNamed("b")
	created := outcome{Action: Create, For: "a"}
	refused := outcome{Refused: "a"}
	checkRows(t, map[string]row{
		"nothing is there": {seen: Observation{Parent: newParent()}},
		"a pod":            {seen: Observation{Pods: []Pod{a}, Parent: newParent()}, want: created},
		"the last place":   {seen: Observation{Pods: []Pod{a}, Parent: newParent(), Live: 1}, want: created},
		"no place": {
			seen: Observation{Pods: []Pod{a}, Parent: newParent(), Live: 2}, want: refused,
			refusal: `"ci" serves as many pods as it may (perPod.maxPods is 2)`,
		},
		"older pods wait for the last place": {
			seen: Observation{Pods: []Pod{a}, Parent: newParent(), Live: 1, Ahead: 1}, want: refused, refusal: "maxPods",
		},
		"a place for older ones and it": {
			seen: Observation{Pods: []Pod{a}, Parent: newParent(maxPods(3)), Live: 1, Ahead: 1}, want: created,
		},
		"the default limit": {
			seen: Observation{Pods: []Pod{a}, Parent: newParent(maxPods(0)), Live: 99}, want: created,
		},
		"beyond the default limit": {
			seen: Observation{Pods: []Pod{a}, Parent: newParent(maxPods(0)), Live: 100}, want: refused,
			refusal: "perPod.maxPods is 100",
		},
		"a copy": {
			seen: Observation{Pods: []Pod{a, b}, Parent: newParent()},
			want: outcome{Action: Create, For: "a", Refused: "b"}, refusal: "another pod has the name in its annotation",
		},
		"a renewal was asked for": {
			seen: Observation{Pods: []Pod{a}, Parent: newParent(renewalAsked("now"))},
			want: outcome{Action: Create, For: "a", Renewal: "now"},
		},
		"no parent": {seen: Observation{Pods: []Pod{a}}, want: refused, refusal: "does not exist or is being deleted"},
		"a parent that another operator may have": {seen: Observation{Pods: []Pod{a}, OtherOperator: true}},
		"a parent that is being deleted": {
			seen: Observation{Pods: []Pod{a}, Parent: newParent(beingDeleted)}, want: refused, refusal: "being deleted",
		},
		"a parent without perPod": {
			seen: Observation{Pods: []Pod{a, b}, Parent: newParent(withoutPerPod)}, want: outcome{Refused: "ab"},
			refusal: "no longer gives each pod a token",
		},
		"a paused parent": {
			seen: Observation{Pods: []Pod{a}, Parent: newParent(paused)}, want: refused, refusal: "is paused",
		},
	})
}

// B150, B151, B153: the session of a pod follows its parent, and ends with the pod.
func TestSessionsOfPods(t *testing.T) {
	t.Parallel()
	a, b := podNamed("a"), podNamed("b")
	live := func(s, parent *v1alpha1.CoderSession) Observation {
		return Observation{Pods: []Pod{a}, Session: s, OwnerLives: true, Parent: parent}
	}
	deleted, updated := outcome{Action: Delete}, outcome{Action: Update}
	foreign := outcome{Refused: "a"}
	skewed := live(newOwnSession(rotatedIn(3*time.Minute)), newParent(narrowed))
	skewed.Skew = 2 * time.Minute
	waiting := live(newOwnSession(rotatedIn(time.Second)), newParent(renewalAsked("now"), narrowed))
	waiting.RenewalTime = noon.Add(time.Second)
	copied := live(newOwnSession(), newParent())
	copied.Pods = []Pod{b, a}
	checkRows(t, map[string]row{
		"as it should be": {seen: live(newOwnSession(), newParent())},
		"the pod has ended": {
			seen: Observation{Session: newOwnSession(), Parent: newParent()},
			want: deleted,
		},
		"the pod has ended, and so has the parent": {seen: Observation{Session: newOwnSession()}, want: deleted},
		"the parent is gone":                       {seen: live(newOwnSession(), nil), want: deleted},
		"the parent is being deleted":              {seen: live(newOwnSession(), newParent(beingDeleted)), want: deleted},
		"it is being deleted":                      {seen: live(newOwnSession(beingDeleted), newParent())},
		"the parent is paused":                     {seen: live(newOwnSession(), newParent(paused))},
		"the limit was lowered": {
			seen: Observation{
				Pods: []Pod{a}, Session: newOwnSession(), OwnerLives: true, Parent: newParent(maxPods(1)), Live: 5,
			},
		},
		"a copy of its pod": {
			seen: copied, want: outcome{Refused: "b"}, refusal: "another pod has the name",
		},
		"the parent has changed": {
			seen: live(newOwnSession(), newParent(narrowed)), want: outcome{Requeue: longestSleep},
		},
		"the parent has changed, and a rotation is close": {
			seen: live(newOwnSession(rotatedIn(3*time.Minute)), newParent(narrowed)), want: outcome{Requeue: 2 * time.Minute},
		},
		"a rotation that is due sooner by the clock of the server": {seen: skewed, want: updated},
		"a rotation that is due": {
			seen: live(newOwnSession(rotatedIn(time.Minute)), newParent(narrowed)), want: updated,
		},
		"a token that does not rotate": {seen: live(newOwnSession(neverRotated), newParent(narrowed)), want: updated},
		"a renewal was asked for": {
			seen: live(newOwnSession(), newParent(renewalAsked("now"))), want: outcome{Action: Update, Renewal: "now"},
		},
		"a renewal whose turn has not come": {
			seen: waiting, want: outcome{Requeue: time.Second},
		},
		"the parent was created again": {
			seen: live(newOwnSession(ofParent("old")), newParent(withUID("new"))), want: deleted,
		},
		"the parent is the same": {seen: live(newOwnSession(ofParent("new")), newParent(withUID("new")))},
		"the parent was created again for another deployment": {
			seen: live(newOwnSession(), newParent(ofDeployment)), want: deleted,
		},
		"a renewal that was passed on": {
			seen: live(newOwnSession(renewalAsked("now")), newParent(renewalAsked("now"))),
		},
		"a renewal and a change": {
			seen: live(newOwnSession(), newParent(narrowed, renewalAsked("now"))), want: outcome{Action: Update, Renewal: "now"},
		},
		"the parent has no perPod any more": {
			seen: live(newOwnSession(neverRotated), newParent(narrowed, withoutPerPod)),
		},
		"a person's session that a pod owns": {
			seen:    live(newOwnSession(namesNoParent), newParent()),
			want:    foreign,
			refusal: "exists",
		},
		"its owner was removed": {
			seen: Observation{Pods: []Pod{a}, Session: newOwnSession(notControlled), Parent: newParent()}, want: deleted,
		},
		"its owner was removed, and no pod is left": {
			seen: Observation{Session: newOwnSession(notControlled), Parent: newParent()}, want: deleted,
		},
	})
}

// A session of a pod never has perPod itself, is never paused, and shares nothing with its parent.
func TestSpecsOfPods(t *testing.T) {
	t.Parallel()
	parent := newParent(paused, narrowed)
	spec := SpecFor(parent)
	if spec.PerPod != nil || spec.Paused {
		t.Errorf("perPod %v, paused %v", spec.PerPod, spec.Paused)
	}
	spec.Auth.Mint.Scopes[0] = "coder:all"
	if parent.Spec.Auth.Mint.Scopes[0] != "workspace:read" {
		t.Error("the spec of the parent has changed, too")
	}
	p := Decide(Observation{
		Now: noon, Session: newOwnSession(neverRotated), OwnerLives: true, Parent: newParent(narrowed),
	})
	if diff := cmp.Diff(SpecFor(newParent(narrowed)), p.Spec); diff != "" {
		t.Errorf("spec of an update (-want +got):\n%s", diff)
	}
	kept := Decide(Observation{
		Now: noon, Session: newOwnSession(), OwnerLives: true,
		Parent: newParent(suppliesToken, withoutPerPod, renewalAsked("now")),
	})
	if diff := cmp.Diff(SpecFor(newParent()), kept.Spec); diff != "" || kept.Action != Update {
		t.Errorf("action %q; a renewal after perPod was removed (-want +got):\n%s", kept.Action, diff)
	}
}
