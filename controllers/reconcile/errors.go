// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// ErrOutdated is returned by an action or observation that finds that what it was based on has
// changed meanwhile. The object is observed again soon.
var ErrOutdated = errors.New("the observation is out of date")

// IsOutdated reports whether an error means that the observation is out of date: another writer has
// changed an object, it exists already, or it is gone.
func IsOutdated(err error) bool {
	return errors.Is(err, ErrOutdated) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) ||
		apierrors.IsNotFound(err)
}

// defaultInterval limits the backoff of an object whose own interval is not known.
const defaultInterval = 5 * time.Minute

// reportAction is the name of the status update among the failed actions.
const reportAction = "Report"

// classify describes an error of an action.
func (l *Loop[T, M, S, O, P]) classify(err error, action string) failure.Failure {
	f := l.kind.Classify(err, action)
	if f == nil {
		f = classifyAPIError(err)
		if f.Class == failure.Refused && l.refused != nil {
			l.refused(refusalReason(err))
		}
	}
	f.Action = action
	return *f
}

// knownRefusals are the reasons that the API server itself gives for a refusal.
var knownRefusals = []metav1.StatusReason{
	metav1.StatusReasonUnauthorized, metav1.StatusReasonForbidden, metav1.StatusReasonNotFound,
	metav1.StatusReasonAlreadyExists, metav1.StatusReasonConflict, metav1.StatusReasonGone, metav1.StatusReasonInvalid,
	metav1.StatusReasonBadRequest, metav1.StatusReasonMethodNotAllowed, metav1.StatusReasonNotAcceptable,
	metav1.StatusReasonRequestEntityTooLarge, metav1.StatusReasonUnsupportedMediaType, metav1.StatusReasonExpired,
}

// refusalReason returns why the API server refused a request. Admission webhooks may choose any reason, so
// those that are not known are Other.
func refusalReason(err error) string {
	if reason := apierrors.ReasonForError(err); slices.Contains(knownRefusals, reason) {
		return string(reason)
	}
	return "Other"
}

// ClassifyAPIError describes an error of the API server as the failure of an action, with what it has
// said.
func ClassifyAPIError(err error, action string) failure.Failure {
	f := *classifyAPIError(err)
	f.Action = action
	return f
}

// classifyAPIError describes an error of the API server. Everything that is not known to be a
// refusal counts as unavailable: trying again is the only thing to do about it.
func classifyAPIError(err error) *failure.Failure {
	f := &failure.Failure{
		Class: failure.Unavailable, Reason: v1alpha1.ReasonAPIServerUnavailable,
		Message: "the Kubernetes API server does not serve the operator; retrying automatically: " + redact.Text(err.Error()),
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return f
	}
	switch code := status.Status().Code; {
	case code == http.StatusTooManyRequests:
		f.Class = failure.Wait
		if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
			f.RetryAfter = time.Duration(seconds) * time.Second
		}
	case code >= 400 && code < 500 && code != http.StatusRequestTimeout:
		f.Class, f.Reason = failure.Refused, v1alpha1.ReasonAPIServerRefused
		f.Message = "the Kubernetes API server refuses a request of the operator: " +
			redact.Text(status.Status().Message) + "; correct what it names, the operator retries automatically"
	}
	return f
}

// requeueOutdated observes the object again soon, with a delay that grows with each conflict in a
// row.
func (l *Loop[T, M, S, O, P]) requeueOutdated(m *memory[M]) ctrl.Result {
	m.conflicts++
	delay := min(firstConflictDelay<<min(m.conflicts-1, 16), maxConflictDelay)
	return ctrl.Result{RequeueAfter: delay + l.jitter(delay)}
}

const (
	firstConflictDelay = 50 * time.Millisecond
	maxConflictDelay   = 30 * time.Second
)

// requeueSoon requeues after 50 to 100 ms, when the cache may have caught up.
func (l *Loop[T, M, S, O, P]) requeueSoon() ctrl.Result {
	return ctrl.Result{RequeueAfter: firstConflictDelay + l.jitter(firstConflictDelay)}
}

// credentialTimeout limits the change of a credential together with the write of the Secret that
// follows it. A shutdown does not interrupt them.
const credentialTimeout = 30 * time.Second

// WithoutCancel returns a context for an operation that must not be interrupted by a shutdown.
func WithoutCancel(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), credentialTimeout)
}
