// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Writer writes conditions, events and status patches. Create it with [NewWriter]. It is safe for
// concurrent use.
type Writer struct {
	client   client.StatusClient
	recorder Recorder
	clock    clock.PassiveClock
}

// NewWriter returns a Writer that patches with c and takes transition times from clock.
func NewWriter(c client.StatusClient, recorder Recorder, clock clock.PassiveClock) *Writer {
	return &Writer{client: c, recorder: recorder, clock: clock}
}

// Set is [Set] with the current time.
func (w *Writer) Set(conditions *[]metav1.Condition, generation int64, c Condition) {
	Set(conditions, generation, w.clock.Now(), c)
}

// Patch sends the status of after, if it differs from that of before, as one merge patch of the
// status subresource. The patch has before's resourceVersion as a precondition (B30); if it does
// not hold, the error is a conflict. changed reports whether a patch was applied; after then has
// the new resourceVersion. If the object was deleted, Patch succeeds. Nothing but the status is
// sent.
func (w *Writer) Patch(ctx context.Context, before, after client.Object) (changed bool, err error) {
	base, target, err := statusOnly(before, after)
	if err != nil || target == nil {
		return false, err
	}
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})
	if err := w.client.Status().Patch(ctx, target, patch); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return false, nil
		}
		return false, fmt.Errorf("patch the status of %s: %w", client.ObjectKeyFromObject(before), err)
	}
	after.SetResourceVersion(target.GetResourceVersion())
	return true, nil
}

// statusOnly returns before, and a copy of it with the status of after. It returns nil if both are
// equal.
func statusOnly(before, after client.Object) (base, target client.Object, err error) {
	switch before := before.(type) {
	case *v1alpha1.CoderSession:
		after, ok := after.(*v1alpha1.CoderSession)
		if !ok {
			break
		}
		status := after.Status.DeepCopy()
		cleanMessages(status.Conditions)
		if status.Suspension != nil {
			status.Suspension.Message = cleanMessage(status.Suspension.Message)
		}
		if equality.Semantic.DeepEqual(&before.Status, status) {
			return nil, nil, nil
		}
		changed := before.DeepCopy()
		changed.Status = *status
		return before, changed, nil
	case *v1alpha1.CoderDeployment:
		after, ok := after.(*v1alpha1.CoderDeployment)
		if !ok {
			break
		}
		status := after.Status.DeepCopy()
		cleanMessages(status.Conditions)
		if equality.Semantic.DeepEqual(&before.Status, status) {
			return nil, nil, nil
		}
		changed := before.DeepCopy()
		changed.Status = *status
		return before, changed, nil
	}
	return nil, nil, fmt.Errorf("patch status: %T and %T are no two states of one object", before, after)
}

// cleanMessages redacts the messages of conditions that were not set through Set.
func cleanMessages(conditions []metav1.Condition) {
	for i := range conditions {
		conditions[i].Message = redact.Text(conditions[i].Message)
	}
}
