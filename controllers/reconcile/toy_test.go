// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
)

// interval of the toy kind, where a test does not say otherwise.
const interval = time.Minute

var (
	noon      = time.Date(2030, time.January, 1, 12, 0, 0, 0, time.UTC)
	toyName   = types.NamespacedName{Namespace: "builds", Name: "ci"}
	resource  = schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "codersessions"}
	errOfAPI  = apierrors.NewInternalError(fmt.Errorf("etcd is away"))
	errForbid = apierrors.NewForbidden(resource, toyName.Name, fmt.Errorf("exceeded quota: pods"))
)

// toyKind is a kind whose decisions and answers a test chooses. Its plan is the loop's step.
type toyKind struct {
	// observe is the error of each observation; nil: they are complete.
	observe func() error
	// inputs is what failures are about.
	inputs string
	// decide is the decision.
	decide func(failure.Set) reconcile.Step
	// act is the answer to an action; nil: all succeed.
	act func(action string) error
	// classify is the kind's own description of an error; nil: the loop describes all.
	classify func(error) *failure.Failure

	// calls of the methods that may have an effect, in order.
	calls []string
	// failures of the last decision.
	failures failure.Set
	passes   int
	// acting is the context of the last action.
	acting context.Context
}

// toyMemory is what the kind remembers of an object.
type toyMemory struct{ serial int }

// toyPass is the state of one pass.
type toyPass struct{ object *v1alpha1.CoderSession }

// toyObservation is what is observed.
type toyObservation struct{ failures failure.Set }

func (k *toyKind) NewObject() *v1alpha1.CoderSession { return &v1alpha1.CoderSession{} }

func (k *toyKind) NewMemory() *toyMemory { return &toyMemory{} }

func (k *toyKind) Begin(object *v1alpha1.CoderSession, memory *toyMemory) *toyPass {
	memory.serial++
	k.passes++
	return &toyPass{object}
}

func (k *toyKind) Observe(context.Context, *toyPass) (toyObservation, error) {
	k.calls = append(k.calls, "observe")
	if k.observe != nil {
		return toyObservation{}, k.observe()
	}
	return toyObservation{}, nil
}

func (k *toyKind) Inputs(toyObservation) string { return k.inputs }

func (k *toyKind) WithFailures(o toyObservation, failures failure.Set) toyObservation {
	o.failures = failures
	return o
}

func (k *toyKind) Decide(o toyObservation) reconcile.Step {
	k.failures = o.failures
	step := k.decide(o.failures)
	if step.Interval == 0 {
		step.Interval = interval
	}
	return step
}

func (k *toyKind) Step(_ toyObservation, plan reconcile.Step) reconcile.Step { return plan }

func (k *toyKind) Act(ctx context.Context, _ *toyPass, _ toyObservation, plan reconcile.Step) error {
	k.acting = ctx
	if k.calls = append(k.calls, "act "+plan.Action); len(k.calls) > 10_000 {
		panic("a pass without an end")
	}
	if k.act == nil {
		return nil
	}
	return k.act(plan.Action)
}

func (k *toyKind) Classify(err error, _ string) *failure.Failure {
	if k.classify == nil {
		return nil
	}
	return k.classify(err)
}

func (k *toyKind) Propagate(context.Context, *toyPass, toyObservation, reconcile.Step) {
	k.calls = append(k.calls, "propagate")
}

func (k *toyKind) Object(p *toyPass) *v1alpha1.CoderSession { return p.object }

// Apply makes a status that differs from the last one in each pass.
func (k *toyKind) Apply(p *toyPass, _ toyObservation, _ reconcile.Step) *v1alpha1.CoderSession {
	after := p.object.DeepCopy()
	status.Set(&after.Status.Conditions, after.Generation, noon, status.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonActive,
		Message: fmt.Sprint("pass ", k.passes),
	})
	return after
}

func (k *toyKind) Reported(context.Context, *toyPass, toyObservation, *v1alpha1.CoderSession) {
	k.calls = append(k.calls, "reported")
}

func (k *toyKind) Vanished(context.Context, *toyPass, toyObservation) {
	k.calls = append(k.calls, "vanished")
}

func (k *toyKind) Forget(_ context.Context, key types.NamespacedName, replaced bool) {
	k.calls = append(k.calls, fmt.Sprintf("forget %s, replaced %t", key.Name, replaced))
}

// count returns how often a method was called.
func (k *toyKind) count(call string) int {
	n := 0
	for _, c := range k.calls {
		if c == call {
			n++
		}
	}
	return n
}

// toyAPI has one object, and the cache shows the same one.
type toyAPI struct {
	client.Reader
	client.SubResourceWriter
	object  *v1alpha1.CoderSession // nil: it is gone
	getErr  error
	patch   func() error // answer to a status patch; nil: it is applied
	patches int
	version int
}

func (a *toyAPI) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	switch {
	case a.getErr != nil:
		return a.getErr
	case a.object == nil:
		return apierrors.NewNotFound(resource, toyName.Name)
	}
	a.object.DeepCopyInto(into.(*v1alpha1.CoderSession))
	return nil
}

func (a *toyAPI) Status() client.SubResourceWriter { return a }

func (a *toyAPI) Patch(
	_ context.Context, object client.Object, _ client.Patch, _ ...client.SubResourcePatchOption,
) error {
	a.patches++
	if a.patch != nil {
		if err := a.patch(); err != nil {
			return err
		}
	}
	a.version++
	object.SetResourceVersion(strconv.Itoa(a.version))
	a.object = object.DeepCopyObject().(*v1alpha1.CoderSession)
	return nil
}

// toyGate counts the passes that it lets begin.
type toyGate struct {
	closed                       bool
	acquired, released, canceled int
	forgotten                    int
	priorities                   []int
	// cut is what the last pass can be cut off with.
	cut context.CancelCauseFunc
}

func (g *toyGate) TryAcquire(
	_ *v1alpha1.CoderSession, priority int, cut context.CancelCauseFunc,
) (reconcile.Lease, bool) {
	g.cut = cut
	g.priorities = append(g.priorities, priority)
	if g.closed {
		return nil, false
	}
	g.acquired++
	return g, true
}

func (g *toyGate) In(ctx context.Context) context.Context { return ctx }

func (g *toyGate) Release() { g.released++ }

func (g *toyGate) Forget(types.NamespacedName) { g.forgotten++ }

func (g *toyGate) Cancel(types.NamespacedName) { g.canceled++ }

// toyWorld is one object of the toy kind and its loop.
type toyWorld struct {
	t      *testing.T
	clock  *clocktesting.FakePassiveClock
	kind   *toyKind
	api    *toyAPI
	gate   *toyGate
	events *events.FakeRecorder
	loop   *reconcile.Loop[*v1alpha1.CoderSession, *toyMemory, *toyPass, toyObservation, reconcile.Step]
	// jitter is the fraction of the longest jitter that a delay gets.
	jitter float64
	// refused are the reasons of the API server that were counted.
	refused []string
}

// newToy has an object with nothing to do.
func newToy(t *testing.T) *toyWorld {
	t.Helper()
	w := &toyWorld{
		t: t, clock: clocktesting.NewFakePassiveClock(noon), kind: &toyKind{}, gate: &toyGate{},
		api: &toyAPI{version: 10, object: newObject("first", "10")}, events: events.NewFakeRecorder(64),
	}
	w.kind.decide = func(failure.Set) reconcile.Step { return reconcile.Step{} }
	w.setProgress(nil)
	return w
}

// setProgress makes a loop with an empty memory that tells of its progress.
func (w *toyWorld) setProgress(p *reconcile.Progress) {
	w.loop = reconcile.New[*v1alpha1.CoderSession, *toyMemory, *toyPass, toyObservation, reconcile.Step](
		w.kind, reconcile.Options[*v1alpha1.CoderSession]{
			Reader: w.api, Status: status.NewWriter(w.api, w.events, w.clock), Gate: w.gate, Clock: w.clock, Progress: p,
			Refused: func(reason string) { w.refused = append(w.refused, reason) },
			Jitter:  func(d time.Duration) time.Duration { return time.Duration(float64(d) * w.jitter) },
		})
}

func newObject(uid types.UID, version string) *v1alpha1.CoderSession {
	return &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{
		Namespace: toyName.Namespace, Name: toyName.Name, UID: uid, ResourceVersion: version, Generation: 1,
	}}
}

// pass makes one pass and returns its requeue.
func (w *toyWorld) pass() ctrl.Result {
	w.t.Helper()
	result, err := w.loop.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: toyName})
	if err != nil {
		w.t.Fatalf("a pass returns %v", err)
	}
	return result
}

// advance lets time pass.
func (w *toyWorld) advance(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

// wantRequeues makes passes, each at the time that the last one asked for, and compares the delays.
func (w *toyWorld) wantRequeues(want ...time.Duration) {
	w.t.Helper()
	for i, delay := range want {
		result := w.pass()
		if result.RequeueAfter != delay {
			w.t.Fatalf("pass %d is requeued after %s, want %s", i+1, result.RequeueAfter, delay)
		}
		w.advance(result.RequeueAfter)
	}
}

// wantCalls compares how often a method was called.
func (w *toyWorld) wantCalls(call string, want int) {
	w.t.Helper()
	if got := w.kind.count(call); got != want {
		w.t.Fatalf("%q was called %d times, want %d: %s", call, got, want, strings.Join(w.kind.calls, ", "))
	}
}

// always decides the same action whatever has failed.
func always(action string) func(failure.Set) reconcile.Step {
	return func(failure.Set) reconcile.Step { return reconcile.Step{Action: action} }
}

// unlessFailed decides the first of the actions that has not failed.
func unlessFailed(actions ...string) func(failure.Set) reconcile.Step {
	return func(failures failure.Set) reconcile.Step {
		open := slices.DeleteFunc(slices.Clone(actions), func(a string) bool { return failures.Of(a) != nil })
		if len(open) == 0 {
			return reconcile.Step{}
		}
		return reconcile.Step{Action: open[0]}
	}
}
