// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
)

// How long a pass takes at most (B131). What must not be interrupted has a deadline of its own, see
// [WithoutCancel], and begins only within actionsTimeout.
const (
	// actionsTimeout limits all actions of one pass together.
	actionsTimeout = time.Minute
	// passTimeout limits the whole pass: its actions, one that must not be interrupted, observations and
	// the report.
	passTimeout = actionsTimeout + credentialTimeout + 30*time.Second
)

// errActionsTimeout ends a request as its own time-out does.
var errActionsTimeout = fmt.Errorf("the actions of a pass: %w", context.DeadlineExceeded)

// errObsolete ends a pass over an object that was deleted meanwhile.
var errObsolete = errors.New("the object was deleted meanwhile")

// interruptible is the context of a pass's actions.
type interruptible struct {
	context.Context
	cut context.CancelCauseFunc
}

// isObsolete reports whether the object was deleted meanwhile. What its action has met says nothing
// then, and the deletion is observed next.
func (i interruptible) isObsolete() bool { return errors.Is(context.Cause(i), errObsolete) }

// brokeOff reports whether an error is that of a request which ended because the pass was cut off. The end
// of the actions' time is no such cut: what has not answered until then has failed, and so has what has
// reached a deadline of its own.
func (i interruptible) brokeOff(err error) bool {
	return errors.Is(i.Err(), context.Canceled) &&
		(errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(i)))
}

// actionContext returns the context of the actions of a pass, which ends when the object is deleted.
// The caller must call end after the pass.
func (l *Loop[T, M, S, O, P]) actionContext(ctx context.Context, object T) (acting interruptible, end func()) {
	limited, stop := context.WithTimeoutCause(ctx, actionsTimeout, errActionsTimeout)
	cuttable, cut := context.WithCancelCause(limited)
	release := func() {
		cut(nil)
		stop()
	}
	acting = interruptible{cuttable, cut}
	if !object.GetDeletionTimestamp().IsZero() {
		return acting, release
	}
	key := client.ObjectKeyFromObject(object)
	l.mu.Lock()
	l.interrupts[key] = cut
	l.mu.Unlock()
	return acting, func() {
		l.mu.Lock()
		delete(l.interrupts, key)
		l.mu.Unlock()
		release()
	}
}

// Interrupt ends what a running pass over an object waits for, because the object was deleted. An action
// that must not be interrupted goes on.
func (l *Loop[T, M, S, O, P]) Interrupt(key types.NamespacedName) {
	l.mu.Lock()
	cut := l.interrupts[key]
	l.mu.Unlock()
	if cut != nil {
		cut(errObsolete)
	}
}

// InterruptingAtDeletion returns an event handler that does what the given one does, and at a deletion
// interrupts a pass over the object, so that the deletion does not wait for a server that does not
// answer (B131).
func InterruptingAtDeletion(inner handler.EventHandler, interrupt func(types.NamespacedName)) handler.EventHandler {
	return handler.Funcs{
		CreateFunc: inner.Create, GenericFunc: inner.Generic,
		UpdateFunc: func(
			ctx context.Context, e event.UpdateEvent, q WorkQueue,
		) {
			inner.Update(ctx, e, q)
			if !e.ObjectNew.GetDeletionTimestamp().IsZero() {
				interrupt(client.ObjectKeyFromObject(e.ObjectNew))
			}
		},
		DeleteFunc: func(
			ctx context.Context, e event.DeleteEvent, q WorkQueue,
		) {
			inner.Delete(ctx, e, q)
			interrupt(client.ObjectKeyFromObject(e.Object))
		},
	}
}
