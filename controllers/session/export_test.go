// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
)

// ObserveTwice makes two observations of a session with what is remembered of it.
func (r *Reconciler) ObserveTwice(
	ctx context.Context, object *v1alpha1.CoderSession,
) (first, second session.Observation, err error) {
	memory, found := r.Remembered(client.ObjectKeyFromObject(object))
	if !found {
		memory = kind{r}.NewMemory()
	}
	scope := kind{r}.Begin(object, memory)
	if first, err = (kind{r}).Observe(ctx, scope); err != nil {
		return first, second, err
	}
	second, err = kind{r}.Observe(ctx, scope)
	return first, second, err
}

// DescribeState describes what passes change in the process and observations must not: the streams of
// workspaces and the slots of rollouts.
func (r *Reconciler) DescribeState(object *v1alpha1.CoderSession) string {
	view, held := r.o.Streams.Look(client.ObjectKeyFromObject(object))
	r.rollouts.mu.Lock()
	defer r.rollouts.mu.Unlock()
	states := r.o.Streams.(*stream.Set).States()
	return fmt.Sprintf("stream held %t: %+v\nall streams: %v\nrollouts: %+v", held, view, states, r.rollouts.running)
}
