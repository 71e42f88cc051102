// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
)

// kind is what the loop needs of sessions.
type kind struct{ *Reconciler }

// NewObject returns an empty session.
func (kind) NewObject() *v1alpha1.CoderSession { return &v1alpha1.CoderSession{} }

// NewMemory returns the memory of a session that was not seen before.
func (k kind) NewMemory() *Memory {
	m := &Memory{byMethod: map[v1alpha1.AuthMethod]any{}}
	for name, method := range k.methods {
		m.byMethod[name] = method.NewMemory()
	}
	return m
}

// Begin returns the state of a pass.
func (kind) Begin(object *v1alpha1.CoderSession, memory *Memory) *Scope {
	return &Scope{Session: object, Memory: memory}
}

// Observe reads the state of the session.
func (k kind) Observe(ctx context.Context, s *Scope) (session.Observation, error) {
	return k.observe(ctx, s)
}

// Inputs identifies what failures are about: the spec, requests, and what the deployment says.
func (kind) Inputs(o session.Observation) string {
	s, d := o.Session, o.Deployment
	return fmt.Sprint(s.Generation, s.DeletionTimestamp, s.RenewalRequest(), s.LoginPort(),
		d.Found, d.Resolved, d.Fingerprint, d.Result.Outcome, d.Result.Reason, d.ID, d.Problem != "", d.Denied,
		o.SuppliedToken.Fingerprint, o.Secret.Exists)
}

// WithFailures adds the open failures.
func (kind) WithFailures(o session.Observation, failures failure.Set) session.Observation {
	o.Failures = failures
	return o
}

// Decide is [session.Decide].
func (kind) Decide(o session.Observation) session.Plan { return session.Decide(o) }

// Step is the loop's part of a plan.
func (kind) Step(o session.Observation, p session.Plan) reconcile.Step {
	return reconcile.Step{
		Action: string(p.Action), Last: p.Action == session.RemoveFinalizer, SkipReport: p.SkipStatusUpdate,
		RequeueAt: p.RequeueAt, Backoff: p.Backoff, Interval: o.Deployment.VerifyInterval(), Priority: int(p.Priority),
	}
}

// Object returns the session as last read or written.
func (kind) Object(s *Scope) *v1alpha1.CoderSession { return s.Session }

// Apply returns the session with the status that the plan asks for.
func (k kind) Apply(s *Scope, _ session.Observation, p session.Plan) *v1alpha1.CoderSession {
	after := s.Session.DeepCopy()
	p.Apply(&after.Status, s.Session.Generation, k.tools.Clock.Now())
	return after
}

// Propagate keeps the rollout slots and the stream of the workspace as the observation has them.
func (k kind) Propagate(_ context.Context, s *Scope, o session.Observation, p session.Plan) {
	if p.KeepStatus {
		return // the observation is incomplete
	}
	k.recordRollouts(s, o)
	k.recordStream(s, o)
}

// Reported records events and logs transitions of Ready.
func (k kind) Reported(ctx context.Context, s *Scope, _ session.Observation, after *v1alpha1.CoderSession) {
	before := s.Session.Status.Conditions
	news, told := contentionNews(before, after.Status.Conditions)
	if news != nil {
		k.tools.Status.Warn(after, news.Reason, "Publish", news.Message)
	}
	if !s.isCredentialTold(after) && !told {
		k.tools.Status.Events(after, before, after.Status.Conditions)
	}
	k.tools.Status.Warnings(after, before, after.Status.Conditions)
	reconcile.LogReady(ctx, before, after.Status.Conditions)
	if now := after.Status.Retirement; now != nil && s.Session.Status.Retirement == nil {
		key := after.DeploymentKey()
		k.tools.Metrics.Retired(key.Namespace, key.Name, now.Reason)
	}
}

// isCredentialTold reports whether nothing is left to be said about a session that is ready: an event of this pass
// tells of the new credential, or it is the first one, without a problem before. Status says so then, and an event of
// each of a thousand sessions costs a request.
func (s *Scope) isCredentialTold(after *v1alpha1.CoderSession) bool {
	was := s.Session.Status
	before := meta.FindStatusCondition(was.Conditions, v1alpha1.ConditionReady)
	now := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionReady)
	isFirst := was.Token == nil && was.Secret == nil && (before == nil || status.IsInitial(before.Reason))
	return now != nil && now.Reason == v1alpha1.ReasonActive && (s.CredentialEventSent || isFirst)
}

// contentionNews returns SecretSynced if it says for the first time that another writer changes the generated Secret,
// and whether Ready says nothing beyond that. Which of the two says it first depends on what a pass finds, and Ready
// may turn with each change: the news is one event (B113).
func contentionNews(before, after []metav1.Condition) (news *metav1.Condition, told bool) {
	reports := func(conditions []metav1.Condition, kind string) *metav1.Condition {
		c := meta.FindStatusCondition(conditions, kind)
		if c == nil || c.Reason != v1alpha1.ReasonSecretModified {
			return nil
		}
		return c
	}
	was, now := reports(before, v1alpha1.ConditionSecretSynced), reports(after, v1alpha1.ConditionSecretSynced)
	told = (was != nil || now != nil) && reports(after, v1alpha1.ConditionReady) != nil
	if was != nil {
		return nil, told
	}
	return now, told
}

// Forget drops what is kept about a deleted session.
func (k kind) Forget(_ context.Context, key types.NamespacedName, replaced bool) {
	if !replaced {
		k.o.Debouncer.Forget(key)
	}
	k.tools.Siblings.forget(key, replaced)
	k.tools.Writes.forget(key)
	k.tools.PodRefusals.set(key, "")
	k.tools.Secrets.Forget(key)
	k.o.Streams.Release(key)
	k.rollouts.forget(key)
}

// vanishTimeout limits the cleanup after a session that was deleted in spite of its finalizer.
const vanishTimeout = 30 * time.Second

// Vanished revokes the tokens and deletes the Secret of a session that was deleted although it has a
// finalizer, or while that was being added. What it cannot do, the search for orphaned tokens and
// the garbage collector do later.
func (k kind) Vanished(ctx context.Context, s *Scope, o session.Observation) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), vanishTimeout)
	defer cancel()
	if o.Secret.Exists {
		if err := k.tools.Secrets.Delete(ctx, s.Session, s.Prior); err != nil {
			ctrl.LoggerFrom(ctx).Info("the Secret of a session that is gone could not be deleted", "problem", err.Error())
			return
		}
	}
	tokens := session.AllTokens(o)
	if s.Conn == nil || len(tokens) == 0 {
		return
	}
	plan := session.Plan{Action: session.Revoke, Revoke: tokens}
	if err := k.actions[session.Revoke](connection.WithLongRateLimitWait(ctx), s, o, plan); err != nil {
		ctrl.LoggerFrom(ctx).Info("tokens of a session that is gone could not be revoked; the search for orphaned "+
			"tokens will", "problem", err.Error())
	}
}
