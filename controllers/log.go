// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
)

// logReady logs a transition of the condition Ready, so that the log shows each failure
// that needs attention and its recovery.
func logReady(ctx context.Context, before, after []metav1.Condition) {
	for _, transition := range status.Transitions(before, after) {
		if now := transition.After; now != nil && now.Type == v1alpha1.ConditionReady {
			ctrl.LoggerFrom(ctx).Info("readiness changed", "ready", now.Status, "reason", now.Reason, "message", now.Message)
		}
	}
}
