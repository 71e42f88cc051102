// SPDX-License-Identifier: Apache-2.0

package status

import (
	"slices"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Recorder records events. It is what mgr.GetEventRecorder returns.
type Recorder = events.EventRecorder

const (
	// maxNote is the maximum length of an event's text that the API server accepts, in bytes.
	maxNote = 1024
	// actionReconcile is the action of events about changed conditions.
	actionReconcile = "Reconcile"
)

// expected are reasons for Ready=False that are not a problem: the object waits for something that
// was requested or happens automatically.
var expected = []string{
	v1alpha1.ReasonPaused,
	v1alpha1.ReasonVerifying,
	v1alpha1.ReasonAwaitingDeployment,
	v1alpha1.ReasonAwaitingAuthorization,
	v1alpha1.ReasonWorkspaceStopped,
	v1alpha1.ReasonRetired,
	v1alpha1.ReasonRateLimited,
	v1alpha1.ReasonTerminating,
}

// quiet are the initial reasons of every object, which are not reported as events.
var quiet = []string{
	v1alpha1.ReasonVerifying,
	v1alpha1.ReasonAwaitingDeployment,
}

// IsInitial reports whether every object may begin with a reason of Ready, which is no event then.
func IsInitial(reason string) bool { return slices.Contains(quiet, reason) }

// Events records one event if the status or reason of Ready has changed: a Warning if a person has
// to act, otherwise a Normal one. A changed message alone is not reported, nor is the first
// Verifying or AwaitingDeployment (B94).
func (w *Writer) Events(obj client.Object, before, after []metav1.Condition) {
	for _, transition := range Transitions(before, after) {
		now := transition.After
		if now == nil || now.Type != v1alpha1.ConditionReady {
			continue
		}
		if transition.Before == nil && IsInitial(now.Reason) {
			continue
		}
		w.Event(obj, eventType(now), now.Reason, actionReconcile, noteOf(now))
	}
}

// noteOf returns what an event says about Ready: its message. Active has none unless there is more to say.
func noteOf(ready *metav1.Condition) string {
	if ready.Reason == v1alpha1.ReasonActive && ready.Message == "" {
		return "the Secret holds a credential that the server accepts"
	}
	return ready.Message
}

// warned are the conditions besides Ready whose turn to False a person has to know of.
var warned = []string{
	v1alpha1.ConditionScopesGranted,
	v1alpha1.ConditionTokenCurrent,
	v1alpha1.ConditionCABundleComplete,
	v1alpha1.ConditionIdentityUnique,
	v1alpha1.ConditionTokensListed,
}

// Warnings records a Warning for each condition besides Ready that turned False, or did so for another
// reason, and that a person has to know of although Ready is not affected.
func (w *Writer) Warnings(obj client.Object, before, after []metav1.Condition) {
	for _, transition := range Transitions(before, after) {
		now := transition.After
		if now != nil && now.Status == metav1.ConditionFalse && slices.Contains(warned, now.Type) {
			w.Warn(obj, now.Reason, actionReconcile, now.Message)
		}
	}
}

// Event records an event that is not about a condition, such as v1alpha1.EventRotated. The type is
// corev1.EventTypeNormal or corev1.EventTypeWarning, the action a verb in upper camel case. The
// note is redacted and cut to what the API server accepts.
func (w *Writer) Event(obj client.Object, eventType, reason, action, note string) {
	note = redact.Text(note)
	if len(note) > maxNote {
		end := maxNote
		for !utf8.RuneStart(note[end]) {
			end--
		}
		note = note[:end]
	}
	w.recorder.Eventf(obj, nil, eventType, reason, action, "%s", note)
}

func eventType(ready *metav1.Condition) string {
	if ready.Status == metav1.ConditionFalse && !slices.Contains(expected, ready.Reason) {
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeNormal
}

// Warn is Event with the type Warning.
func (w *Writer) Warn(obj client.Object, reason, action, note string) {
	w.Event(obj, corev1.EventTypeWarning, reason, action, note)
}
