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

// Recorder takes events. It is what mgr.GetEventRecorder returns.
type Recorder = events.EventRecorder

const (
	// maxNote is the longest text of an event that the API server takes, in bytes.
	maxNote = 1024
	// actionReconcile says what was done when a condition changed.
	actionReconcile = "Reconcile"
)

// expected are reasons for which Ready is False without anything being wrong: the
// object waits for something that was asked for or that comes by itself.
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

// quiet are reasons that every object begins with: as the first they tell nothing.
var quiet = []string{
	v1alpha1.ReasonVerifying,
	v1alpha1.ReasonAwaitingDeployment,
}

// Events records one event if Ready of obj went from one status or reason to another:
// a Warning where a person has to act, else a Normal one. A message that changes is
// no transition, and the first Verifying or AwaitingDeployment tells nothing (B94).
func (w *Writer) Events(obj client.Object, before, after []metav1.Condition) {
	for _, transition := range Transitions(before, after) {
		now := transition.After
		if now == nil || now.Type != v1alpha1.ConditionReady {
			continue
		}
		if transition.Before == nil && slices.Contains(quiet, now.Reason) {
			continue
		}
		w.Event(obj, eventType(now), now.Reason, actionReconcile, now.Message)
	}
}

// Event records an event that is no condition's, such as v1alpha1.EventMinted. The
// type is corev1.EventTypeNormal or corev1.EventTypeWarning, the action a verb in
// upper camel case. The note is redacted and cut to what the API server takes.
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
