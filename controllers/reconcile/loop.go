// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/internal/failure"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
)

const (
	// maxActions is the maximum number of actions in one pass; a pass normally needs far fewer.
	maxActions = 12
	// unfinishedDelay is when a pass goes on that has reached it.
	unfinishedDelay = time.Second
)

// Kind is one kind of object: what is observed of it, decided about it, and done. T is the object,
// M what is remembered of it between passes, S the state of one pass, O an observation and P a
// plan. Methods are called by one pass per object at a time.
type Kind[T client.Object, M, S, O, P any] interface {
	// NewObject returns an empty object.
	NewObject() T
	// NewMemory returns the memory of an object that was not seen before.
	NewMemory() M
	// Begin returns the state of a pass. It makes no request.
	Begin(object T, memory M) S
	// Observe reads what the decision is based on. It changes nothing. With an error the
	// observation is incomplete.
	Observe(ctx context.Context, pass S) (O, error)
	// Inputs identifies what open failures are about: as soon as it changes, their actions are
	// tried again at once.
	Inputs(observation O) string
	// WithFailures adds the open failures to an observation.
	WithFailures(observation O, failures failure.Set) O
	// Decide is pure.
	Decide(observation O) P
	// Step is the loop's part of a plan.
	Step(observation O, plan P) Step
	// Act carries out the plan's action. [ErrOutdated], a conflict, or an object that is gone mean
	// that the observation is out of date; every other error becomes a failure.
	Act(ctx context.Context, pass S, observation O, plan P) error
	// Classify describes an error of Act that the API server did not cause; nil: the loop does.
	Classify(err error, action string) *failure.Failure
	// Propagate tells other parts of the process what was decided. It makes no request to a server.
	Propagate(ctx context.Context, pass S, observation O, plan P)
	// Object returns the object as last read or written.
	Object(pass S) T
	// Apply returns a copy of the object with the status that the plan asks for.
	Apply(pass S, observation O, plan P) T
	// Reported is called after the status was written, or found up to date.
	Reported(ctx context.Context, pass S, observation O, after T)
	// Vanished is called if the object turns out to be deleted although it had a finalizer.
	Vanished(ctx context.Context, pass S, observation O)
	// Forget drops everything that is kept outside of the memory about a deleted object. Replaced is
	// set if there is another object of that name already, whose own state stays.
	Forget(ctx context.Context, key types.NamespacedName, replaced bool)
}

// Step is what the loop needs to know of a plan.
type Step struct {
	// Action to carry out; empty: nothing is left to do.
	Action string
	// Last is set if the object is gone after the action.
	Last bool
	// SkipReport is set if status stays as it is, because the observation is not reliable.
	SkipReport bool
	// RequeueAt is when to look again without an event; zero: only after the interval.
	RequeueAt time.Time
	// Backoff is set if the next pass comes earlier, with a delay that grows each time.
	Backoff bool
	// Interval is the longest time until the next look, and the longest backoff. It is positive.
	Interval time.Duration
	// Priority in the work queue; higher is earlier.
	Priority int
}

// Gate decides when a pass over an object may begin. It is safe for concurrent use.
type Gate[T client.Object] interface {
	// TryAcquire returns a lease and true if a pass may begin; if not, the object is enqueued when it
	// may. Cut ends the wait of the pass's action, unless that must not be interrupted.
	TryAcquire(object T, priority int, cut context.CancelCauseFunc) (Lease, bool)
	// Cancel is called at the end of each attempt, also if TryAcquire was not called.
	Cancel(key types.NamespacedName)
	// Forget is called for an object that is gone.
	Forget(key types.NamespacedName)
}

// Lease allows one pass.
type Lease interface {
	// In returns the context of what the pass does.
	In(ctx context.Context) context.Context
	// Release is called at the end of the pass.
	Release()
}

// Loop reconciles the objects of one kind. Create it with [New]. It is safe for concurrent use, as
// long as no two passes over one object run at the same time.
type Loop[T client.Object, M, S, O, P any] struct {
	kind   Kind[T, M, S, O, P]
	reader client.Reader
	status *status.Writer
	gate   Gate[T]
	clock  clock.PassiveClock
	jitter Jitter
	// progress is told of passes that end; nil: nothing is.
	progress *Progress
	refused  func(reason string)

	mu     sync.Mutex
	memory map[types.NamespacedName]*memory[M]
	// interrupts end the actions of the passes that run over objects which were not being deleted when
	// they began.
	interrupts map[types.NamespacedName]context.CancelCauseFunc
}

// Options are the parts of a loop. All but Gate and Progress are required.
type Options[T client.Object] struct {
	// Reader reads objects from the cache.
	Reader client.Reader
	Status *status.Writer
	// Gate limits which passes run at the same time; nil: all may.
	Gate   Gate[T]
	Clock  clock.PassiveClock
	Jitter Jitter
	// Progress is told of passes that end; nil: nothing is.
	Progress *Progress
	// Refused is told why the API server refused a request: one of the reasons of apimachinery, or Other.
	// Nil: nothing is.
	Refused func(reason string)
}

// New returns a loop over the objects of a kind.
func New[T client.Object, M, S, O, P any](kind Kind[T, M, S, O, P], o Options[T]) *Loop[T, M, S, O, P] {
	gate := o.Gate
	if gate == nil {
		gate = openGate[T]{}
	}
	return &Loop[T, M, S, O, P]{
		kind: kind, reader: o.Reader, status: o.Status, gate: gate, clock: o.Clock, jitter: o.Jitter,
		progress: o.Progress, refused: o.Refused,
		memory: map[types.NamespacedName]*memory[M]{}, interrupts: map[types.NamespacedName]context.CancelCauseFunc{},
	}
}

// Reconcile makes one pass over an object. It returns no error but those of the cache: everything
// else is reported in status and retried with the object's own backoff.
func (l *Loop[T, M, S, O, P]) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	defer l.gate.Cancel(req.NamespacedName)
	object := l.kind.NewObject()
	if err := l.reader.Get(ctx, req.NamespacedName, object); err != nil {
		if apierrors.IsNotFound(err) {
			l.Forget(ctx, req.NamespacedName)
			l.recordProgress()
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, err
	}
	m := l.memoryOf(ctx, object)
	if m.ended {
		return ctrl.Result{}, nil // its deletion is the next event
	}
	if m.isNewerThan(object) {
		return l.requeueSoon(), nil
	}
	acting, end := l.actionContext(ctx, object)
	defer end()
	lease, admitted := l.gate.TryAcquire(object, m.priority, acting.cut)
	if !admitted {
		return ctrl.Result{}, nil
	}
	defer lease.Release()
	defer l.recordProgress()
	acting.Context = lease.In(acting.Context)
	p := &pass[T, M, S]{memory: m, start: l.clock.Now(), state: l.kind.Begin(object, m.kind), acting: acting}
	return l.runPass(lease.In(ctx), p), nil
}

// pass is one pass over one object.
type pass[T client.Object, M, S any] struct {
	memory *memory[M]
	start  time.Time
	state  S
	acting interruptible
	// unfinished is set if the pass ends although actions are left.
	unfinished bool
}

// runPass observes, decides and acts until nothing is left to do, and then reports.
func (l *Loop[T, M, S, O, P]) runPass(ctx context.Context, p *pass[T, M, S]) ctrl.Result {
	for actions := 0; ; actions++ {
		o, err := l.observe(ctx, p)
		if IsOutdated(err) {
			return l.requeueOutdated(p.memory)
		}
		plan := l.kind.Decide(o)
		step := l.kind.Step(o, plan)
		p.unfinished = step.Action != "" && (actions == maxActions || p.acting.Err() != nil)
		if step.Action == "" || p.unfinished || p.memory.mustWait(step.Action, p.start) {
			return l.report(ctx, p, o, plan)
		}
		if end := l.act(ctx, p, o, plan); end != nil {
			return *end
		}
	}
}

// act carries out the plan's action. It returns a result if the pass ends with it.
func (l *Loop[T, M, S, O, P]) act(ctx context.Context, p *pass[T, M, S], o O, plan P) *ctrl.Result {
	step := l.kind.Step(o, plan)
	ctrl.LoggerFrom(ctx).V(1).Info("carrying out an action", "action", step.Action)
	err := l.kind.Act(p.acting, p.state, o, plan)
	switch {
	case IsOutdated(err):
		return ptr.To(l.requeueOutdated(p.memory))
	case err != nil && p.acting.isObsolete():
		return ptr.To(l.requeueSoon())
	case err != nil && p.acting.brokeOff(err) && l.kind.Classify(err, step.Action) == nil:
		// A request to the API server, which has not failed. The pass ends as unfinished.
		ctrl.LoggerFrom(ctx).V(1).Info("the action was broken off", "action", step.Action)
		return nil
	case err != nil:
		l.recordFailure(ctx, p.memory, l.classify(err, step.Action), step.Interval)
		return nil
	}
	p.memory.clearFailure(step.Action)
	if step.Last {
		p.memory.ended = true
		return &ctrl.Result{}
	}
	return nil
}

// observe returns the observation with the open failures, an incomplete observation among them.
func (l *Loop[T, M, S, O, P]) observe(ctx context.Context, p *pass[T, M, S]) (O, error) {
	o, err := l.kind.Observe(ctx, p.state)
	switch {
	case IsOutdated(err):
		return o, err
	case err != nil:
		l.recordFailure(ctx, p.memory, l.classify(err, failure.Observe), defaultInterval)
	default:
		p.memory.clearFailure(failure.Observe)
		p.memory.retryIfChanged(l.kind.Inputs(o))
	}
	return l.kind.WithFailures(o, p.memory.openFailures(p.start)), nil
}

// report announces the decision, patches the status, records an event if Ready has changed, and
// returns when to look again.
func (l *Loop[T, M, S, O, P]) report(ctx context.Context, p *pass[T, M, S], o O, plan P) ctrl.Result {
	step := l.kind.Step(o, plan)
	if step.SkipReport {
		return l.requeue(p, step)
	}
	l.kind.Propagate(ctx, p.state, o, plan)
	before, after := l.kind.Object(p.state), l.kind.Apply(p.state, o, plan)
	_, err := l.status.Patch(ctx, before, after)
	switch {
	case apierrors.IsNotFound(err):
		l.kind.Vanished(ctx, p.state, o)
		return l.requeueOutdated(p.memory)
	case IsOutdated(err):
		return l.requeueOutdated(p.memory)
	case err != nil:
		// There is no place left to say it but the log, and an event on its first occurrence.
		f := l.classify(err, reportAction)
		if l.recordFailure(ctx, p.memory, f, step.Interval) == 1 {
			l.status.Warn(before, f.Reason, "Report", "the status cannot be written: "+f.Message)
		}
		return l.requeue(p, step)
	}
	p.memory.clearFailure(reportAction)
	p.memory.reportedVersion, p.memory.priority, p.memory.conflicts = after.GetResourceVersion(), step.Priority, 0
	l.kind.Reported(ctx, p.state, o, after)
	return l.requeue(p, step)
}

// requeue returns when to look again: when the plan asks for it, when a failed action may be tried
// again, and at the latest after the interval (B115).
func (l *Loop[T, M, S, O, P]) requeue(p *pass[T, M, S], step Step) ctrl.Result {
	now := l.clock.Now()
	at := now.Add(step.Interval)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	sooner(step.RequeueAt)
	if p.unfinished {
		sooner(now.Add(unfinishedDelay))
	}
	retry, named := p.memory.nextRetry(p.start)
	sooner(retry)
	switch {
	case step.Backoff:
		p.memory.delays++
		sooner(now.Add(failure.Backoff(p.memory.delays, step.Interval)))
	case !step.SkipReport:
		p.memory.delays = 0
	}
	delay := l.jitter.delayUntil(now, at)
	if named && at.Equal(retry) {
		// The server or the rate limit has named this time for this object alone.
		delay = max(at.Sub(now), time.Millisecond)
	}
	if over := delay - step.Interval; over > 0 {
		delay = step.Interval - over // the jitter is within the interval
	}
	return ctrl.Result{RequeueAfter: delay, Priority: ptr.To(step.Priority)}
}

func (l *Loop[T, M, S, O, P]) recordProgress() {
	if l.progress != nil {
		l.progress.Record()
	}
}

// Forget drops everything that the process remembers of a deleted object.
func (l *Loop[T, M, S, O, P]) Forget(ctx context.Context, key types.NamespacedName) {
	l.mu.Lock()
	delete(l.memory, key)
	l.mu.Unlock()
	l.gate.Forget(key)
	l.kind.Forget(ctx, key, false)
}

// openGate lets every pass begin.
type openGate[T client.Object] struct{}

func (openGate[T]) TryAcquire(T, int, context.CancelCauseFunc) (Lease, bool) {
	return openLease{}, true
}
func (openGate[T]) Cancel(types.NamespacedName) {}
func (openGate[T]) Forget(types.NamespacedName) {}

// openLease counts nothing.
type openLease struct{}

func (openLease) In(ctx context.Context) context.Context { return ctx }
func (openLease) Release()                               {}
