// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
)

// podRecorder records no Normal events about the sessions of pods: there are many of them, they live for
// minutes, and their status and the log say the same. Warnings are recorded.
type podRecorder struct{ status.Recorder }

// Eventf records an event.
//
//nolint:revive // the signature is that of events.EventRecorder
func (r podRecorder) Eventf(
	regarding, related runtime.Object, eventType, reason, action, note string, args ...any,
) {
	s, isSession := regarding.(*v1alpha1.CoderSession)
	if isSession && podsession.IsOfPod(s) && eventType == corev1.EventTypeNormal {
		return
	}
	r.Recorder.Eventf(regarding, related, eventType, reason, action, note, args...)
}
