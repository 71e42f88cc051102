// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"bytes"
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// kind is what the loop needs of deployments.
type kind struct{ *Reconciler }

// NewObject returns an empty deployment.
func (kind) NewObject() *v1alpha1.CoderDeployment { return &v1alpha1.CoderDeployment{} }

// NewMemory returns the memory of a deployment that was not seen before.
func (kind) NewMemory() *memory { return &memory{} }

// Begin returns the state of a pass.
func (k kind) Begin(object *v1alpha1.CoderDeployment, known *memory) *scope {
	key := client.ObjectKeyFromObject(object)
	return &scope{object: object, key: key, conn: k.o.Pool.Get(key), memory: known}
}

// Observe reads the state of the deployment.
func (k kind) Observe(ctx context.Context, s *scope) (deployment.Observation, error) {
	return k.observe(ctx, s)
}

// Inputs identifies what failures are about: the spec, requests, and the settings.
func (kind) Inputs(o deployment.Observation) string {
	d := o.Deployment
	return fmt.Sprint(d.Generation, d.DeletionTimestamp, d.VerificationRequest(), o.Config.Fingerprint,
		o.Verification.Result.Outcome)
}

// WithFailures adds the open failures.
func (kind) WithFailures(o deployment.Observation, failures failure.Set) deployment.Observation {
	o.Failures = failures
	return o
}

// Decide is [deployment.Decide].
func (kind) Decide(o deployment.Observation) deployment.Plan { return deployment.Decide(o) }

// Step is the loop's part of a plan.
func (kind) Step(o deployment.Observation, p deployment.Plan) reconcile.Step {
	return reconcile.Step{
		Action: string(p.Action), Last: p.Action == deployment.RemoveFinalizer, SkipReport: p.SkipStatusUpdate,
		RequeueAt: p.RequeueAt, Interval: deployment.VerifyInterval(o.Deployment),
	}
}

// Classify describes errors of the Coder server. It returns nil for others, which are the API
// server's.
func (kind) Classify(err error, _ string) *failure.Failure {
	result := connection.ResultOf(err)
	f := &failure.Failure{
		Class: failure.Transient, Reason: result.Reason, Message: result.Message, RetryAfter: result.RetryAfter,
	}
	switch {
	case result.Outcome == authcheck.ConfigChanging:
		f.Class = failure.ConfigChanging
	case !isServerError(err):
		return nil
	}
	return f
}

// Object returns the deployment as last read or written.
func (kind) Object(s *scope) *v1alpha1.CoderDeployment { return s.object }

// Apply returns the deployment with the status that the plan asks for.
func (kind) Apply(s *scope, o deployment.Observation, p deployment.Plan) *v1alpha1.CoderDeployment {
	after := s.object.DeepCopy()
	p.Apply(&after.Status, o)
	return after
}

// Propagate publishes the verification status to the sessions, opens or suspends the streams of
// workspaces, and enqueues the sessions that are concerned.
func (k kind) Propagate(ctx context.Context, s *scope, o deployment.Observation, p deployment.Plan) {
	k.o.Metrics.Sessions(s.key.Namespace, s.key.Name, s.reasons)
	k.o.Metrics.Pods(s.key.Namespace, s.key.Name, s.livePods, s.refusedPods)
	if p.KeepStatus {
		k.propagateRefusal(ctx, s, o)
		return
	}
	changed := s.conn.SetVerificationStatus(verificationStatus(o))
	k.updateStreams(s.key, s.conn)
	// Sessions read the spec themselves. They are enqueued for each new generation, even if the spec
	// was changed back during the quiet period.
	if s.object.Generation != s.memory.generation {
		s.memory.generation = s.object.Generation
		changed = true
	}
	// Generated Secrets have the bundle as it is written, also if it makes no difference for connections.
	if resolved := s.conn.ResolvedClient(); resolved != nil &&
		!bytes.Equal(resolved.Snapshot.CABundlePEM, s.memory.caBundle) {
		s.memory.caBundle = resolved.Snapshot.CABundlePEM
		changed = true
	}
	if changed {
		k.enqueueSessions(ctx, s.key)
	}
	k.updateRetention(ctx, s.key, p.RetentionDecisions)
}

// propagateRefusal tells sessions why the settings of their deployment cannot be read, if these were
// never verified. What was verified before stays valid.
func (k kind) propagateRefusal(ctx context.Context, s *scope, o deployment.Observation) {
	f := o.Failures.Of(failure.Observe)
	if f == nil || f.Class != failure.Refused || s.conn.VerificationStatus().Result.Outcome != authcheck.Unknown {
		return
	}
	if s.conn.SetVerificationStatus(connection.VerificationStatus{Problem: f.Message}) {
		k.enqueueSessions(ctx, s.key)
	}
}

// Reported records events and metrics, and logs transitions of Ready.
func (k kind) Reported(ctx context.Context, s *scope, o deployment.Observation, after *v1alpha1.CoderDeployment) {
	before := s.object.Status.Conditions
	if !ptr.Equal(s.object.Status.Sessions, after.Status.Sessions) {
		s.memory.countsTime = o.Now
	}
	k.o.Status.Events(after, before, after.Status.Conditions)
	k.o.Status.Warnings(after, before, after.Status.Conditions)
	reconcile.LogReady(ctx, before, after.Status.Conditions)
	k.recordMetrics(s, after, o)
	k.warnOfObstacle(after, before)
}

// Vanished does nothing: sessions notice the deletion.
func (kind) Vanished(context.Context, *scope, deployment.Observation) {}

// Forget drops what is kept about a deleted deployment, and enqueues its sessions.
func (k kind) Forget(ctx context.Context, key types.NamespacedName, replaced bool) {
	k.o.Pool.Forget(key)
	k.o.Streams.Forget(key)
	k.o.Retention.Replace(key, nil)
	if replaced {
		return
	}
	k.o.Debouncer.Forget(key)
	k.o.Metrics.Forget(key.Namespace, key.Name)
	k.enqueueSessions(ctx, key)
}
