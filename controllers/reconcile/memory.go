// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// memory is what is remembered of an object between passes. It needs no lock, because only one pass
// per object runs at a time. Everything but what a kind says otherwise of its own part may be lost
// at any time; the cost is one more request.
type memory[M any] struct {
	uid  types.UID
	kind M
	// failures are the failed actions, the latest last.
	failures []failed
	// inputs is what the failures are about.
	inputs string
	// conflicts in a row, and delays in a row that a plan asked for, for the backoff.
	conflicts, delays int
	// reportedVersion is the resource version of the last status update. A pass over an older
	// version could wrongly find the status up to date.
	reportedVersion string
	// priority is the one that the last pass returned.
	priority int
	// ended is set once the finalizer is removed, although the cache may still have the object with
	// it. An object that is being deleted gets no finalizer back.
	ended bool
}

// failed is a failure with how often in a row its action has failed.
type failed struct {
	failure.Failure
	count int
}

// isOpen reports whether the action may not be tried again yet in a pass that started at a time.
func (f failed) isOpen(start time.Time) bool { return f.RetryTime.After(start) }

// memoryOf returns the memory of an object. That of a deleted object with the same name is dropped.
func (l *Loop[T, M, S, O, P]) memoryOf(ctx context.Context, object T) *memory[M] {
	key := client.ObjectKeyFromObject(object)
	l.mu.Lock()
	m := l.memory[key]
	l.mu.Unlock()
	if m != nil && m.uid == object.GetUID() {
		return m
	}
	if m != nil {
		l.kind.Forget(ctx, key, true)
	}
	m = &memory[M]{uid: object.GetUID(), kind: l.kind.NewMemory(), priority: firstPriority}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.memory[key] = m
	return m
}

// firstPriority is the priority of an object that was not reconciled yet.
const firstPriority = 1

// isNewerThan reports whether the cached object is older than the last status update. It returns
// false if the versions cannot be compared; a write to an old version then fails with a conflict.
func (m *memory[M]) isNewerThan(cached client.Object) bool {
	order, err := resourceversion.CompareResourceVersion(cached.GetResourceVersion(), m.reportedVersion)
	return err == nil && order < 0
}

// recordFailure remembers a failed action until it may be tried again, and returns how often in a
// row it has failed.
func (l *Loop[T, M, S, O, P]) recordFailure(
	ctx context.Context, m *memory[M], f failure.Failure, interval time.Duration,
) int {
	count := 1
	if i := m.indexOf(f.Action); i >= 0 {
		count = m.failures[i].count + 1
		m.failures = slices.Delete(m.failures, i, i+1)
	}
	f.RetryTime = l.clock.Now().Add(retryDelay(f, count, interval))
	m.failures = append(m.failures, failed{f, count})
	level := 1
	if count == 1 && f.FromAPIServer() {
		level = 0
	}
	ctrl.LoggerFrom(ctx).V(level).Info("an action failed", "action", f.Action, "problem", f.Message)
	return count
}

// retryDelay is how long to wait after an action has failed so often in a row.
func retryDelay(f failure.Failure, count int, interval time.Duration) time.Duration {
	switch {
	case f.Class == failure.Config, f.Class == failure.Denied, f.Class == failure.AccessDenied:
		return interval
	case f.Class == failure.ConfigChanging:
		return time.Nanosecond // in this pass only
	case f.RetryAfter > 0:
		return f.RetryAfter
	}
	return failure.Backoff(count, interval)
}

func (m *memory[M]) indexOf(action string) int {
	return slices.IndexFunc(m.failures, func(f failed) bool { return f.Action == action })
}

// clearFailure forgets the failures of an action that has succeeded.
func (m *memory[M]) clearFailure(action string) {
	if i := m.indexOf(action); i >= 0 {
		m.failures = slices.Delete(m.failures, i, i+1)
	}
}

// retryIfChanged forgets all failures if what they are about has changed.
func (m *memory[M]) retryIfChanged(inputs string) {
	if m.inputs != inputs {
		m.inputs, m.failures, m.delays = inputs, nil, 0
	}
}

// openFailures returns the failures whose action may not be tried again in a pass that started at
// the given time. That of the status update is none of them: it says nothing about the object, it
// would be over when a status says it, and the update follows each decision anyway.
func (m *memory[M]) openFailures(start time.Time) failure.Set {
	var open failure.Set
	for _, f := range m.failures {
		if f.Action != reportAction && f.isOpen(start) {
			open = append(open, f.Failure)
		}
	}
	return open
}

// mustWait reports whether an action may not be tried again in a pass that started at the given time,
// whatever woke the object (B144).
func (m *memory[M]) mustWait(action string, start time.Time) bool {
	i := m.indexOf(action)
	return i >= 0 && m.failures[i].isOpen(start)
}

// nextRetry returns when the first open failure may be tried again, and whether the server or the
// rate limit has named that time. A zero time means that there is none.
func (m *memory[M]) nextRetry(start time.Time) (next time.Time, named bool) {
	for _, f := range m.failures {
		if f.isOpen(start) && f.Class != failure.ConfigChanging && (next.IsZero() || f.RetryTime.Before(next)) {
			next, named = f.RetryTime, f.Class == failure.Wait && f.RetryAfter > 0
		}
	}
	return next, named
}

// Remembered returns what is remembered of an object; false if nothing is. It is for tests, between
// two passes.
func (l *Loop[T, M, S, O, P]) Remembered(key types.NamespacedName) (M, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.memory[key]; m != nil {
		return m.kind, true
	}
	var none M
	return none, false
}
