// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
)

// apiCall is one request of the operator to the API server.
type apiCall struct {
	verb string // create, update, delete, patch, "patch status" or get
	ref  ref
	dry  bool // the API server is only asked whether it would do it
}

func (c apiCall) String() string {
	if c.dry {
		return "try to " + c.verb + " " + c.ref.key.String()
	}
	of := c.verb + " "
	if c.verb == verbPatchStatus {
		of += "of "
	}
	return of + c.ref.kind + " " + c.ref.key.String()
}

const verbPatchStatus = "patch status"

// refusal makes the API server refuse some requests of the operator for a while.
type refusal struct {
	what  string // for the summary
	verbs []string
	kind  string
	key   types.NamespacedName // zero: every object of the kind
	err   func(ref) error
	// done is set if the request is carried out before it fails.
	done  bool
	until time.Time
}

func (f refusal) matches(c apiCall, now time.Time) bool {
	return slices.Contains(f.verbs, c.verb) && f.kind == c.ref.kind && now.Before(f.until) &&
		(f.key == types.NamespacedName{} || f.key == c.ref.key)
}

// refusalOf returns the refusal of a request; nil: the API server serves it.
func (w *simWorld) refusalOf(c apiCall) *refusal {
	for i := range w.refusals {
		if f := &w.refusals[i]; f.matches(c, w.clock.Now()) {
			w.happens(f.what)
			return f
		}
	}
	return nil
}

// isRefusing reports whether the API server still refuses something.
func (w *simWorld) isRefusing() bool {
	return slices.ContainsFunc(w.refusals, func(f refusal) bool { return w.clock.Now().Before(f.until) })
}

var refusalEvents = []string{
	"a quota refuses a creation", "a policy refuses a write", "a right to get is missing", "a write meets a conflict",
	"a write is done and times out", "the API server is overloaded", "a webhook fails", "a status is written by another",
}

var refusals = []func(*simWorld){
	(*simWorld).refuseRandomly, (*simWorld).refuseRandomly, (*simWorld).refuseRandomly, (*simWorld).refuseRandomly,
	(*simWorld).refuseRandomly, (*simWorld).refuseRandomly, (*simWorld).refuseRandomly, (*simWorld).refuseRandomly,
	(*simWorld).liftRefusals, (*simWorld).forgeStatus, (*simWorld).forgeStatus,
}

// Errors of an API server.
func quotaExceeded(r ref) error {
	return apierrors.NewForbidden(resourceOf(r), r.key.Name, errors.New("exceeded quota: objects, used: 5, limited: 5"))
}

func policyDenies(r ref) error {
	return apierrors.NewForbidden(resourceOf(r), r.key.Name, errors.New("ValidatingAdmissionPolicy 'sim' denied request"))
}

func notAllowed(r ref) error {
	return apierrors.NewForbidden(resourceOf(r), r.key.Name, errors.New("User \"operator\" cannot do that"))
}

func conflicts(r ref) error {
	return apierrors.NewConflict(resourceOf(r), r.key.Name, errors.New("the object has been modified"))
}

func timesOut(r ref) error {
	return apierrors.NewTimeoutError("request for "+r.kind+" did not complete", 0)
}

func overloaded(ref) error { return apierrors.NewTooManyRequests("too many requests", 20) }

func webhookFails(r ref) error {
	return apierrors.NewInternalError(errors.New("failed calling webhook \"sim\" for " + r.kind))
}

var (
	simWrites = []string{"create", "update", "patch", verbPatchStatus, "delete"}
	simKinds  = []string{kindSecret, kindSecret, kindSession, kindDeployment}
)

// refuse makes the API server refuse for a while.
func (w *simWorld) refuse(f refusal, d time.Duration) {
	f.until = w.clock.Now().Add(d)
	w.tracef("* for %s: %s (%v %s %s)", d, f.what, f.verbs, f.kind, f.key)
	w.refusals = append(w.refusals, f)
}

// simRefusals are the refusals to pick from. One without a kind is for any of simKinds.
var simRefusals = []refusal{
	{what: "a quota refuses a creation", verbs: []string{"create"}, kind: kindSecret, err: quotaExceeded},
	{what: "a policy refuses a write", verbs: simWrites, err: policyDenies},
	{what: "a right to get is missing", verbs: []string{"get"}, kind: kindSecret, err: notAllowed},
	{what: "a write meets a conflict", verbs: simWrites, err: conflicts},
	{what: "a write is done and times out", verbs: simWrites, err: timesOut, done: true},
	{what: "the API server is overloaded", verbs: append([]string{"get"}, simWrites...), err: overloaded},
	{what: "a webhook fails", verbs: simWrites, err: webhookFails},
}

func (w *simWorld) refuseRandomly() {
	f := pick(w, simRefusals)
	if f.kind == "" {
		f.kind = pick(w, simKinds)
	}
	f.key = w.anyKey(f.kind)
	d := pick(w, []time.Duration{10 * time.Second, time.Minute, 20 * time.Minute, 4 * time.Hour})
	if f.what == "a write meets a conflict" {
		d = w.jitter(20 * time.Second) // a pass that meets a conflict reports nothing
	}
	w.refuse(f, d)
}

// anyKey returns the name of an object of a kind, or none, which means all of them.
func (w *simWorld) anyKey(kind string) types.NamespacedName {
	if w.rng.IntN(3) == 0 {
		return types.NamespacedName{}
	}
	var keys []types.NamespacedName
	for _, r := range sortedRefs(w.api.objects) {
		if r.kind == kind {
			keys = append(keys, r.key)
		}
	}
	for _, s := range w.sessions() {
		if kind == kindSecret {
			keys = append(keys, key(s.Namespace, s.SecretName()), key(s.Namespace, grant.SecretName(s)))
		}
	}
	return pick(w, keys)
}

func (w *simWorld) liftRefusals() {
	w.tracef("* the API server refuses nothing")
	w.refusals = nil
}

// forgedReason is the reason of a condition that another client wrote.
const forgedReason = "Forged"

// forgeStatus makes another client write the status of an object.
func (w *simWorld) forgeStatus() {
	var all []ref
	for _, r := range sortedRefs(w.api.objects) {
		if r.kind == kindSession || r.kind == kindDeployment {
			all = append(all, r)
		}
	}
	w.forge(pick(w, all))
}

func (w *simWorld) forge(r ref) {
	live := w.api.objects[r]
	next := copyOf(live)
	conditions := conditionsOf(next)
	ready := meta.FindStatusCondition(*conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return
	}
	w.tracef("* the status of %s %s is written by another", r.kind, r.key)
	w.happens("a status is written by another")
	ready.Reason, ready.Message = forgedReason, "by another"
	ready.Status = map[metav1.ConditionStatus]metav1.ConditionStatus{
		metav1.ConditionTrue: metav1.ConditionFalse,
	}[ready.Status]
	if ready.Status == "" {
		ready.Status = metav1.ConditionTrue
	}
	w.api.replace(r, live, next)
	w.forged[r] = w.clock.Now()
}

// conditionsOf returns the conditions of a session or deployment.
func conditionsOf(object client.Object) *[]metav1.Condition {
	switch o := object.(type) {
	case *v1alpha1.CoderSession:
		return &o.Status.Conditions
	case *v1alpha1.CoderDeployment:
		return &o.Status.Conditions
	}
	return nil
}

// simPatience is how late a status may be while random faults slow the operator down.
const simPatience = simNotice + 10*time.Minute

// disturb remembers that statuses may be late from now on, because the operator was restarted, time
// passed at once, a status could not be written, or settings could not be read.
func (w *simWorld) disturb() { w.disturbed = w.clock.Now() }

// judgeStatuses checks what holds all the time: an object that was looked at has a status (B111),
// a credential that has ended is not Ready, and a status that another client wrote is put right
// (B119).
func (w *simWorld) judgeStatuses() {
	now := w.clock.Now()
	if now.Sub(w.disturbed) < simPatience {
		return
	}
	for _, r := range sortedRefs(w.api.objects) {
		object := w.api.objects[r]
		conditions := conditionsOf(object)
		if conditions == nil || object.GetDeletionTimestamp() != nil {
			continue
		}
		ready := meta.FindStatusCondition(*conditions, v1alpha1.ConditionReady)
		switch {
		case ready == nil && w.truth().Sub(object.GetCreationTimestamp().Time) > simPatience:
			w.fail("B111: %s %s has no status", r.kind, r.key)
		case ready != nil && ready.Reason == forgedReason && now.Sub(w.forged[r]) > simPatience:
			w.fail("B119: the status of %s %s is not put right", r.kind, r.key)
		case ready != nil && ready.Reason == "":
			w.fail("B111: %s %s is Ready=%s for no reason", r.kind, r.key, ready.Status)
		}
		if s, ok := object.(*v1alpha1.CoderSession); ok && ready != nil && ready.Status == metav1.ConditionTrue {
			w.judgeEnded(s)
		}
	}
}

// judgeEnded checks that a session is not Ready long after its credential has expired.
func (w *simWorld) judgeEnded(s *v1alpha1.CoderSession) {
	token := s.Status.Token
	// The server extends an access token that is used.
	if token == nil || token.ExpirationTime == nil || s.Spec.Auth.OAuth != nil ||
		w.forged[refOf(s)].Add(simPatience).After(w.clock.Now()) {
		return
	}
	c := w.serves(w.deployment(string(s.Spec.DeploymentRef.Name)))
	if minted := w.tokens[token.ID]; minted != nil {
		c = minted.server // the deployment may have gone to another one just now
	}
	ahead := c.told[string(s.Spec.DeploymentRef.Name)]
	if late := w.wall().Add(ahead).Sub(token.ExpirationTime.Time); late > simPatience {
		w.fail("B111: session %s/%s is Ready, and its token expired %s ago (the server is %s ahead): %s",
			s.Namespace, s.Name, late, ahead, encoded(s.Status))
	}
}

// refusedWrites checks that while no Secret can be written, however long, at most one token is
// minted for each session, that no session is Ready without a credential, and that everything
// recovers by itself afterwards.
func (w *simWorld) refusedWrites() {
	mints := w.count.mints - w.count.renewals
	refusals := []func(ref) error{quotaExceeded, policyDenies, webhookFails, overloaded}
	err := pick(w, refusals[:3])
	lasts := pick(w, []time.Duration{time.Hour, 7 * time.Hour, 30 * time.Hour})
	if w.rng.IntN(4) == 0 {
		err, lasts = overloaded, time.Hour // which names 20 s, so that each hour takes long to simulate
	}
	for _, s := range w.sessions() {
		for _, name := range []string{s.SecretName(), grant.SecretName(s)} {
			w.refuse(refusal{
				what: "no Secret can be written", verbs: []string{"create", "update"}, kind: kindSecret,
				key: key(s.Namespace, name), err: err,
			}, 1000*time.Hour)
		}
	}
	if sessions := w.sessions(); len(sessions) > 0 {
		s := pick(w, sessions)
		if secret := w.secretOf(s); secret != nil && s.Spec.Auth.Certificate == nil {
			w.tracef("* Secret %s is deleted", secret.Name)
			_ = w.api.remove(refOf(secret), nil)
		}
	}
	w.run(lasts)
	w.collectBounded(mints)
	for _, s := range w.sessions() {
		ready := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
		server := w.serves(w.deployment(string(s.Spec.DeploymentRef.Name))).server
		token := s.Status.Token
		ended := token != nil && token.ExpirationTime != nil && server.Now().Sub(token.ExpirationTime.Time) > simNotice
		publishes := s.Spec.Auth.Certificate == nil && s.Spec.PerPod == nil
		if ready.Status == metav1.ConditionTrue && (ended || publishes && w.secretOf(s) == nil) {
			w.fail("B111: session %s/%s is Ready without a valid credential: %s", s.Namespace, s.Name, encoded(s.Status))
		}
	}
	w.liftRefusals()
	w.run(2*simNotice + time.Minute)
	if len(w.problems) == 0 {
		w.settled()
	}
}

// collectBounded checks the number of tokens that were minted since there were so many, while none
// could be published.
func (w *simWorld) collectBounded(since int) {
	most := 0
	for _, s := range w.sessions() {
		if s.Spec.Auth.Mint != nil {
			most++
		}
	}
	if got := w.count.mints - since - w.count.renewals; got > most {
		w.fail("B111: %d tokens were minted although none can be published, want %d at most", got, most)
	}
}
