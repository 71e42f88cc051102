// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
	"github.com/coder-session-operator/coder-session-operator/test/shifted"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// createPods creates pods at the same time and returns them, the oldest first.
func (w *operatorEnv) createPods(n int) []*corev1.Pod {
	w.T.Helper()
	pods, errs := make([]*corev1.Pod, n), make([]error, n)
	var all sync.WaitGroup
	for i := range pods {
		all.Go(func() {
			ctx, cancel := testenv.NewContext()
			defer cancel()
			pods[i] = w.newPod("ci")
			errs[i] = w.Client.Create(ctx, pods[i])
		})
	}
	all.Wait()
	w.Must(errors.Join(errs...))
	podsession.SortOldest(pods, podsession.PodOf)
	return pods
}

// watchLimit fails the test if more sessions of pods than the limit, which are not being deleted, exist at
// any time. It sees every write, in the order in which the API server has made them.
func (w *operatorEnv) watchLimit(limit int) {
	w.T.Helper()
	watcher, err := client.NewWithWatch(w.Cluster.Config, client.Options{Scheme: w.Cluster.Scheme})
	w.Must(err)
	changes, err := watcher.Watch(w.T.Context(), &v1alpha1.CoderSessionList{}, client.InNamespace(w.Namespace))
	w.Must(err)
	ended := make(chan struct{})
	w.T.Cleanup(func() {
		changes.Stop()
		<-ended
	})
	go func() {
		defer close(ended)
		live := map[types.UID]bool{}
		for event := range changes.ResultChan() {
			s, ok := event.Object.(*v1alpha1.CoderSession)
			if !ok || !podsession.IsOfPod(s) {
				continue
			}
			if delete(live, s.UID); s.DeletionTimestamp == nil && event.Type != watch.Deleted {
				live[s.UID] = true
			}
			if len(live) > limit {
				w.T.Errorf("%d pods have a session, want %d at most", len(live), limit)
			}
		}
	}()
}

// served returns those pods that have a token now.
func (w *operatorEnv) served(ctx context.Context, pods []*corev1.Pod) (served []*corev1.Pod) {
	for _, pod := range pods {
		if w.isServed(pod)(ctx) == nil {
			served = append(served, pod)
		}
	}
	return served
}

// servesSoMany: so many of the pods have a token.
func (w *operatorEnv) servesSoMany(pods []*corev1.Pod, want int) wait.Check {
	return func(ctx context.Context) error {
		if got := len(w.served(ctx, pods)); got != want {
			return fmt.Errorf("%d pods have a token, want %d", got, want)
		}
		return nil
	}
}

// B150, B153: of twenty pods at once never more than five have a session, those that wait are served in the
// order of their age, and an operator that is restarted meanwhile goes on with that.
func TestMorePodsThanTheLimit(t *testing.T) {
	w := newPodsEnv(t, 5)
	w.watchLimit(5)
	pods := w.createPods(20)
	w.Eventually(w.servesSoMany(pods, 5), w.countsPods(v1alpha1.PodCounts{Live: 5, Refused: 15}), w.hasLiveTokens(5))
	running := w.served(t.Context(), pods)
	waiting := slices.DeleteFunc(pods, func(p *corev1.Pod) bool { return slices.Contains(running, p) })
	for i := 0; len(waiting) > 0; i++ {
		n := 1
		if i == 3 { // three at once, while no operator runs
			n = 3
			w.stopOperator()
		}
		for _, pod := range running[:n] {
			w.endPod(pod, corev1.PodSucceeded)
		}
		if i == 3 {
			w.startOperator()
		}
		w.Eventually(w.servesSoMany(waiting, n))
		if got := w.served(t.Context(), waiting); !slices.Equal(got, waiting[:n]) {
			t.Fatalf("served are %s, want the oldest of %s", namesOf(got), namesOf(waiting))
		}
		running, waiting = append(running[n:], waiting[:n]...), waiting[n:]
	}
	for _, pod := range running {
		w.deletePod(pod)
	}
	w.Eventually(w.hasLiveTokens(0), w.countsPods(v1alpha1.PodCounts{}))
}

// B150: a pod that ends while it waits gives its turn to the next one, and a limit that is raised serves
// those that wait.
func TestATurnIsNotLost(t *testing.T) {
	w := newPodsEnv(t, 1)
	pods := w.createPods(4)
	w.Eventually(w.servesSoMany(pods, 1), w.countsPods(v1alpha1.PodCounts{Live: 1, Refused: 3}))
	running := w.served(t.Context(), pods)[0]
	waiting := slices.DeleteFunc(pods, func(p *corev1.Pod) bool { return p == running })
	w.endPod(waiting[0], corev1.PodFailed)
	w.endPod(running, corev1.PodSucceeded)
	w.Eventually(w.isServed(waiting[1]), w.hasLiveTokens(1))
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.PerPod.MaxPods = 2 })
	w.Eventually(w.isServed(waiting[2]), w.hasLiveTokens(2))
}

// withShiftedClock makes the operator and the server use a clock that the test moves ahead.
func withShiftedClock(clock *shifted.Clock) setting {
	return func(o *envOptions) { o.clock, o.server.Clock = clock, clock }
}

// ownSession returns the session of a pod.
func (w *operatorEnv) ownSession(pod *corev1.Pod) *v1alpha1.CoderSession {
	w.T.Helper()
	return w.CurrentSession(pod.Annotations[v1alpha1.AnnotationPodSession])
}

// publishes: the session of a pod has published a token of at least this serial with one scope and
// one template, and status says so.
func (w *operatorEnv) publishes(pod *corev1.Pod, serial int64, scope, file string) wait.Check {
	return func(ctx context.Context) error {
		name := pod.Annotations[v1alpha1.AnnotationPodSession]
		s, err := w.GetSession(ctx, name)
		if err != nil {
			return err
		}
		secret, err := w.GetSecret(ctx, name)
		if err != nil {
			return err
		}
		token := s.Status.Token
		if token == nil || token.Serial < serial || !slices.Equal(token.Scopes, []string{scope}) {
			return fmt.Errorf("the token of pod %s is %+v, want serial %d or above with %s", pod.Name, token, serial, scope)
		}
		if text := string(secret.Data["info"]); text != file {
			return fmt.Errorf("the file of pod %s says %q, want %q", pod.Name, text, file)
		}
		return w.isServed(pod)(ctx)
	}
}

// B153: what is changed in a session with perPod new pods get at once, and running ones when their token is
// replaced. A renewal that is asked for replaces all of them at once.
func TestASessionWithPerPodIsChanged(t *testing.T) {
	clock := &shifted.Clock{}
	w := newPodsEnv(t, 10, withShiftedClock(clock))
	overlap := v1alpha1.Duration("1s") // a renewal waits until the former token has ended
	change := func(scope v1alpha1.Scope, text string, maxPods int32) {
		w.EditSession("ci", func(s *v1alpha1.CoderSession) {
			s.Spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
			s.Spec.Auth.Mint.Scopes, s.Spec.Auth.Mint.Lifetime = []v1alpha1.Scope{scope}, "1h"
			s.Spec.Secret = &v1alpha1.GeneratedSecret{Template: map[string]string{"info": text}}
			s.Spec.PerPod.MaxPods = maxPods
		})
	}
	change("workspace:read", "one", 10)
	first := w.createPod()
	w.Eventually(w.publishes(first, 1, "workspace:read", "one"))
	change("template:read", "two", 10)
	second := w.createPod()
	w.Eventually(w.publishes(second, 1, "template:read", "two"))
	if spec := w.ownSession(first).Spec; spec.Auth.Mint.Scopes[0] != "workspace:read" {
		t.Errorf("the session of a running pod has the scopes %v", spec.Auth.Mint.Scopes)
	}
	w.Eventually(w.publishes(first, 1, "workspace:read", "one"))

	clock.Shift(50 * time.Minute)
	change("template:read", "two", 11) // something that wakes the operator
	w.Eventually(w.publishes(first, 2, "template:read", "two"))

	clock.Shift(2 * time.Minute) // a renewal on request waits until the last token is a minute old
	one, two := w.ownSession(first).Status.Token.Serial, w.ownSession(second).Status.Token.Serial
	w.asksForRenewal("ci", "now")
	w.Eventually(w.publishes(first, one+1, "template:read", "two"), w.publishes(second, two+1, "template:read", "two"))
	third := w.createPod()
	w.Eventually(w.publishes(third, 1, "template:read", "two"))
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.PerPod = nil })
	w.Eventually(w.IsReady("ci"), w.isServed(first), w.isServed(third))
	for _, pod := range []*corev1.Pod{first, second, third} {
		w.endPod(pod, corev1.PodSucceeded)
	}
	w.Eventually(w.hasLiveTokens(1)) // that of ci itself
}

// B111, B150: a policy that refuses the sessions of pods is quoted in an event about the pod. It costs no
// token, and when it is gone the pod is served.
func TestAPolicyRefusesTheSessionsOfPods(t *testing.T) {
	w := newPodsEnv(t, 10)
	remove := w.addPolicy(policy{
		group: v1alpha1.GroupVersion.Group, resource: "codersessions", operation: "CREATE",
		trial: func(ctx context.Context) error {
			return w.Client.Create(ctx, w.NewMintedSession("trial", testenv.MachineUser), client.DryRunAll)
		},
	})
	before := w.calls.allCalls()
	pod := w.createPod()
	w.Eventually(w.hasNotServedEvent(pod, policyMessage), w.hasCalled("POST codersessions", before, 2))
	w.Eventually(w.SessionIs("ci", v1alpha1.ConditionPodsServed, metav1.ConditionFalse, v1alpha1.ReasonAPIServerRefused,
		policyMessage), w.countsPods(v1alpha1.PodCounts{Refused: 1}))
	if got := w.CountMints(); got > 0 {
		t.Errorf("%d tokens were minted", got)
	}
	remove()
	w.Eventually(w.isServed(pod), w.hasLiveTokens(1),
		w.SessionIs("ci", v1alpha1.ConditionPodsServed, metav1.ConditionTrue, v1alpha1.ReasonAllPodsServed, "no pod waits"))
}

// B154: a pod that a quota, or another admission plugin, refuses after the webhook has named it leaves
// nothing behind.
func TestPodsThatAreRefusedAfterTheWebhook(t *testing.T) {
	t.Run("policy", func(t *testing.T) {
		w := newPodsEnv(t, 10)
		w.addPolicy(policy{
			resource: "pods", operation: "CREATE",
			trial: func(ctx context.Context) error { return w.Client.Create(ctx, w.newPod("ci"), client.DryRunAll) },
		})
		w.leavesNothing(policyMessage)
	})
	t.Run("quota", func(t *testing.T) {
		w := newPodsEnv(t, 10)
		w.limitPods()
		w.leavesNothing("exceeded quota")
	})
}

// leavesNothing creates pods that the API server refuses with these words, and checks that a later pod of
// another session shows that the operator has done nothing about them.
func (w *operatorEnv) leavesNothing(words string) {
	w.T.Helper()
	before := w.calls.allCalls()
	for range 3 {
		w.Must(mustBeRefused(w.Client.Create(w.T.Context(), w.newPod("ci")), words))
	}
	w.Create(w.NewMintedSession("other", testenv.MachineUser))
	w.Eventually(w.IsReady("other"), w.hasLiveTokens(1), w.countsPods(v1alpha1.PodCounts{}))
	if calls := w.calls.callsSince(before); calls["POST codersessions"] > 0 || calls["POST events"] > 1 {
		w.T.Errorf("the operator has made the calls %v", calls)
	}
	var sessions v1alpha1.CoderSessionList
	w.Must(w.Client.List(w.T.Context(), &sessions, client.InNamespace(w.Namespace)))
	for _, s := range sessions.Items {
		if podsession.IsOfPod(&s) {
			w.T.Errorf("session %s is left", s.Name)
		}
	}
}

// A person's session with the name that a pod brings with it, past the webhook, is left alone.
func TestANameThatAPersonHasTaken(t *testing.T) {
	w := newPodsEnv(t, 10)
	const mine = "ci-bcdfghjk" // the webhook might make that name
	w.Create(w.NewMintedSession(mine, testenv.PersonUser))
	w.Eventually(w.IsReady(mine))
	was := w.CurrentSession(mine)
	pod := w.newPod("ci", func(p *corev1.Pod) { // the webhook is not asked about it
		p.Labels = map[string]string{v1alpha1.LabelParent: "ci"}
		p.Annotations = map[string]string{v1alpha1.AnnotationPodSession: mine}
	})
	w.Create(pod)
	w.Eventually(w.hasNotServedEvent(pod, `"ci-bcdfghjk" exists and was not made for a pod`))
	served := w.createPod()
	w.Eventually(w.isServed(served), w.hasLiveTokens(2))
	if is := w.CurrentSession(mine); is.UID != was.UID || is.Generation != was.Generation {
		t.Errorf("the session was changed: %v", is.ObjectMeta)
	}
	w.deletePod(pod)
	w.Eventually(func(ctx context.Context) error {
		err := w.Get(ctx, pod.Name, &corev1.Pod{})
		if !apierrors.IsNotFound(err) {
			return errors.New("the pod is still there")
		}
		return nil
	}, w.IsReady(mine), w.hasLiveTokens(2))
}

// namesOf is for messages.
func namesOf(pods []*corev1.Pod) string {
	names := make([]string, 0, len(pods))
	for _, pod := range pods {
		names = append(names, pod.Name)
	}
	return strings.Join(names, " ")
}
