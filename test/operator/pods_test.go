// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// newPodsEnv has an operator that serves pods, its webhook, a verified deployment, and the session ci
// with perPod.
func newPodsEnv(t *testing.T, maxPods int32, settings ...setting) *operatorEnv {
	t.Helper()
	w := newEnv(t, settings...)
	w.servesPods = true
	w.serveWebhook(webhookSettings{podNames: rand.Reader})
	w.startOperator()
	w.Create(w.newDeployment("prod"))
	w.Create(w.NewMintedSession("ci", testenv.MachineUser, func(spec *v1alpha1.CoderSessionSpec) {
		spec.PerPod = &v1alpha1.PerPod{MaxPods: maxPods}
	}))
	w.Eventually(w.SessionIs("ci", v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonServingPods, "each pod"))
	return w
}

// createPod creates a pod that asks for the session ci, and returns what the API server made of it.
func (w *operatorEnv) createPod(changes ...func(*corev1.Pod)) *corev1.Pod {
	w.T.Helper()
	pod := w.newPod("ci", changes...)
	w.Create(pod)
	return pod
}

// endPod gives a pod a phase in which it has ended.
func (w *operatorEnv) endPod(pod *corev1.Pod, phase corev1.PodPhase) {
	w.T.Helper()
	ctx, cancel := testenv.NewContext()
	defer cancel()
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"status":{"phase":%q}}`, phase))
	w.Must(w.Client.Status().Patch(ctx, pod.DeepCopy(), patch))
}

// deletePod deletes a pod as a node does, at once.
func (w *operatorEnv) deletePod(pod *corev1.Pod) {
	w.T.Helper()
	ctx, cancel := testenv.NewContext()
	defer cancel()
	w.Must(w.Client.Delete(ctx, pod, &client.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}))
}

// tokenOf returns the token in the Secret that a pod mounts, and an error if it is not one of the user's
// that the server accepts.
func (w *operatorEnv) tokenOf(ctx context.Context, pod *corev1.Pod) (string, error) {
	name := pod.Annotations[v1alpha1.AnnotationPodSession]
	if name == "" || pod.Labels[v1alpha1.LabelParent] != "ci" {
		return "", fmt.Errorf("pod %s has no session of its own: %v %v", pod.Name, pod.Labels, pod.Annotations)
	}
	secret, err := w.GetSecret(ctx, name)
	if err != nil {
		return "", err
	}
	token := string(secret.Data["session"])
	if !w.Coder.AcceptsToken(token) {
		return "", fmt.Errorf("the server does not accept the token of pod %s", pod.Name)
	}
	return token, nil
}

// isServed checks that a pod has a token.
func (w *operatorEnv) isServed(pod *corev1.Pod) wait.Check {
	return func(ctx context.Context) error {
		_, err := w.tokenOf(ctx, pod)
		return err
	}
}

// countsPods checks status.pods of the session ci.
func (w *operatorEnv) countsPods(want v1alpha1.PodCounts) wait.Check {
	return func(ctx context.Context) error {
		s, err := w.GetSession(ctx, "ci")
		if err != nil {
			return err
		}
		if s.Status.Pods == nil || *s.Status.Pods != want {
			return fmt.Errorf("status.pods is %+v, want %+v", s.Status.Pods, want)
		}
		return nil
	}
}

// hasNotServedEvent checks that an event tells of a pod that is not served.
func (w *operatorEnv) hasNotServedEvent(pod *corev1.Pod, fragment string) wait.Check {
	return func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := w.Client.List(ctx, &events, client.InNamespace(w.Namespace)); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Reason == v1alpha1.EventPodNotServed && e.Regarding.UID == pod.UID && strings.Contains(e.Note, fragment) {
				return nil
			}
		}
		return fmt.Errorf("no event says that pod %s is not served: %q", pod.Name, fragment)
	}
}

// B150, B151, B152: each pod has a token of its own, which ends with the pod; more pods than maxPods wait,
// and are served when others have ended.
func TestEachPodHasATokenOfItsOwn(t *testing.T) {
	w := newPodsEnv(t, 2)
	first, second := w.createPod(), w.createPod()
	w.Eventually(w.isServed(first), w.isServed(second), w.hasLiveTokens(2))
	ctx, cancel := testenv.NewContext()
	defer cancel()
	one, err := w.tokenOf(ctx, first)
	w.Must(err)
	two, err := w.tokenOf(ctx, second)
	w.Must(err)
	if one == two {
		t.Fatal("two pods share a token")
	}
	own := w.CurrentSession(first.Annotations[v1alpha1.AnnotationPodSession])
	if own.Annotations[v1alpha1.AnnotationPod] != first.Name || own.Status.Token.Name == "" {
		t.Errorf("the session does not lead from the token to the pod: %v %+v", own.Annotations, own.Status.Token)
	}

	third := w.createPod()
	w.Eventually(w.hasNotServedEvent(third, "perPod.maxPods is 2"),
		w.countsPods(v1alpha1.PodCounts{Live: 2, Refused: 1}),
		w.SessionIs("ci", v1alpha1.ConditionPodsServed, metav1.ConditionFalse, v1alpha1.ReasonPodLimitReached, "maxPods"))
	w.endPod(first, corev1.PodSucceeded)
	w.Eventually(w.isServed(third), w.hasLiveTokens(2), w.countsPods(v1alpha1.PodCounts{Live: 2}))
	if w.Coder.AcceptsToken(one) {
		t.Error("the token of a pod that has ended is still valid")
	}
	w.deletePod(second)
	w.Eventually(w.hasLiveTokens(1), w.countsPods(v1alpha1.PodCounts{Live: 1}))
	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.hasLiveTokens(0))
}

// B151: what ended while no operator ran is revoked by the next one.
func TestPodsThatEndWhileNoOperatorRuns(t *testing.T) {
	w := newPodsEnv(t, 10)
	pods := []*corev1.Pod{w.createPod(), w.createPod(), w.createPod()}
	for _, pod := range pods {
		w.Eventually(w.isServed(pod))
	}
	w.stopOperator()
	w.endPod(pods[0], corev1.PodFailed)
	w.deletePod(pods[1])
	w.startOperator()
	w.Eventually(w.hasLiveTokens(1), w.isServed(pods[2]))
}

// B153: a session with perPod that is deleted and created again while no operator runs, for another
// CoderDeployment, takes the tokens of running pods with it. They get others as the new one allows.
func TestASessionWithPerPodIsCreatedAgain(t *testing.T) {
	w := newPodsEnv(t, 10)
	w.Create(w.newDeployment("other"))
	pod := w.createPod()
	w.Eventually(w.isServed(pod))
	w.stopOperator()
	former := w.ownSession(pod)
	parent := w.CurrentSession("ci")
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Finalizers = nil })
	ctx, cancel := testenv.NewContext()
	defer cancel()
	w.Must(w.Client.Delete(ctx, parent))
	w.Create(w.NewMintedSession("ci", testenv.MachineUser, func(spec *v1alpha1.CoderSessionSpec) {
		spec.DeploymentRef.Name, spec.PerPod = "other", &v1alpha1.PerPod{MaxPods: 10}
	}))
	w.startOperator()
	w.Eventually(w.isServed(pod), w.hasLiveTokens(1), func(ctx context.Context) error {
		now := &v1alpha1.CoderSession{}
		err := w.Client.Get(ctx, client.ObjectKeyFromObject(former), now)
		if err == nil && (now.UID == former.UID || now.Spec.DeploymentRef.Name != "other") {
			err = fmt.Errorf("its session is %s of %s", now.UID, now.Spec.DeploymentRef.Name)
		}
		return err
	})
}

// B154: a pod that the API server does not take after the webhook leaves nothing behind; neither does one
// that ends before its token was minted.
func TestPodsThatNeverStart(t *testing.T) {
	w := newPodsEnv(t, 10)
	ctx, cancel := testenv.NewContext()
	defer cancel()
	dry := w.newPod("ci")
	w.Must(w.Client.Create(ctx, dry, client.DryRunAll))
	if dry.Annotations[v1alpha1.AnnotationPodSession] == "" {
		t.Error("a dry run does not show the name of the session")
	}
	refused := w.newPod("ci", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "" })
	if err := w.Client.Create(ctx, refused); err == nil {
		t.Fatal("a pod without an image is taken")
	}
	served := w.createPod()
	w.Eventually(w.isServed(served), w.hasLiveTokens(1))
	var sessions v1alpha1.CoderSessionList
	w.Must(w.Client.List(ctx, &sessions, client.InNamespace(w.Namespace)))
	if len(sessions.Items) != 2 {
		t.Errorf("%d sessions, want ci and that of one pod", len(sessions.Items))
	}
}

// B150: a copy of a pod, with the annotations that the webhook has written, gets a name of its own.
func TestACopyOfAPodHasATokenOfItsOwn(t *testing.T) {
	w := newPodsEnv(t, 10)
	first := w.createPod()
	copied := w.createPod(func(p *corev1.Pod) {
		p.Labels, p.Annotations = first.Labels, first.Annotations
		p.Spec = *first.Spec.DeepCopy()
	})
	name := copied.Annotations[v1alpha1.AnnotationPodSession]
	if name == first.Annotations[v1alpha1.AnnotationPodSession] {
		t.Fatal("both pods have the same name")
	}
	for _, volume := range copied.Spec.Volumes {
		if volume.Secret != nil && volume.Secret.SecretName != name {
			t.Errorf("it mounts Secret %q", volume.Secret.SecretName)
		}
	}
	w.Eventually(w.isServed(first), w.isServed(copied), w.hasLiveTokens(2))
}

// B153: access that is withdrawn takes the tokens of all pods.
func TestAccessOfPodsIsWithdrawn(t *testing.T) {
	w := newPodsEnv(t, 10)
	pod := w.createPod()
	w.Eventually(w.isServed(pod))
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Paused = true })
	later := w.createPod()
	w.Eventually(w.hasNotServedEvent(later, "is paused"), w.isServed(pod),
		w.countsPods(v1alpha1.PodCounts{Live: 1, Refused: 1}))
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Paused = false })
	w.Eventually(w.isServed(later), w.hasLiveTokens(2))
	if ready := meta.FindStatusCondition(w.CurrentSession("ci").Status.Conditions, v1alpha1.ConditionReady); ready == nil {
		t.Error("no condition Ready")
	}
}

// The life of a pod costs 6 requests to the API server and 3 to Coder, besides the lookups of the user,
// which pods share, and the counts in the status of their session, which are written once a second.
func TestCostOfAPod(t *testing.T) {
	w := newPodsEnv(t, 10)
	w.Eventually(w.isServed(w.createPod()), w.countsPods(v1alpha1.PodCounts{Live: 1}))
	before, coderBefore := w.calls.allCalls(), len(w.Coder.Requests())
	pod := w.createPod()
	w.Eventually(w.isServed(pod), w.IsReady(pod.Annotations[v1alpha1.AnnotationPodSession]))
	w.endPod(pod, corev1.PodSucceeded)
	w.Eventually(w.hasLiveTokens(1), func(ctx context.Context) error {
		_, err := w.GetSession(ctx, pod.Annotations[v1alpha1.AnnotationPodSession])
		if err == nil {
			return errors.New("its session still exists")
		}
		return client.IgnoreNotFound(err)
	})
	calls := w.calls.callsSince(before)
	delete(calls, "PATCH codersessions/status") // one of them is its own
	want := map[string]int{
		"POST codersessions": 1, "POST secrets": 1, "DELETE codersessions": 1, "DELETE secrets": 1, "PATCH codersessions": 1,
	}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("requests to the API server (-want +got):\n%s", diff)
	}
	tokens := 0
	for _, request := range w.Coder.Requests()[coderBefore:] {
		if strings.Contains(request.Route, "/keys") && !strings.Contains(request.Route, "tokenconfig") {
			tokens++
		}
	}
	if tokens != 3 {
		t.Errorf("%d requests to Coder about tokens, want 3: %s", tokens, w.RecentRequests(10))
	}
}
