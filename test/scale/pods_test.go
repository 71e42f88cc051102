// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/webhook"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/program"
)

// mostAPICalls and mostCoderCalls are what the whole life of a pod may cost, without the counts in the
// status of its session and of the CoderDeployment, which are written for all pods at most once a second and
// once in five seconds, and lookups that pods share.
const (
	mostAPICalls   = 6
	mostCoderCalls = 3
)

// BenchmarkPods creates pods that each get a token of their own, and measures from the request that creates
// a pod, the webhook's share included, until its Secret exists. There is no kubelet: the benchmark ends the
// pods.
func BenchmarkPods(b *testing.B) {
	b.Run("10-a-second", func(b *testing.B) {
		f := newFigures(b)
		for b.Loop() {
			measurePods(b, f, 300, 10)
		}
		f.reportAll()
	})
	b.Run("1000-at-once", func(b *testing.B) {
		f := newFigures(b)
		for b.Loop() {
			measurePods(b, f, 1000, 0)
		}
		f.reportAll()
	})
}

// measurePods creates n pods, so many a second or, if that is 0, all at once, ends each, and reports what
// that took.
func measurePods(b *testing.B, f *figures, n, perSecond int) {
	b.Helper()
	w := newEnv(b)
	defer w.closeAll()
	defer w.servePods()()
	w.createDeployment(v1alpha1.VerifyPolicy{Interval: never})
	w.Create(w.NewSession("each", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: bot(0)}},
		func(spec *v1alpha1.CoderSessionSpec) { spec.PerPod = &v1alpha1.PerPod{MaxPods: 10000} }))
	w.Eventually(w.SessionIs("each", v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonServingPods, ""))
	w.createFirstPod()
	w.awaitSettled()
	w.Coder.ResetLog()
	calls, cpu, memory := w.calls.countCalls(b), w.operator.cpuTime(), w.operator.memoryMiB("VmRSS")

	secrets := w.followSecrets()
	started := time.Now()
	pods := w.createPods(n, perSecond)
	waited := make([]float64, 0, n) // milliseconds
	for name, at := range secrets.await(b, pods) {
		waited = append(waited, float64(at.Sub(pods[name].sent).Microseconds())/1000)
	}
	f.addSample("pods/s", float64(n)/time.Since(started).Seconds())
	f.addSample("p50-ms-to-Secret", quantile(waited, 0.5))
	f.addSample("p95-ms-to-Secret", quantile(waited, 0.95))
	w.awaitSettled()
	f.addSample("MiB-more/1000-live-pods", (w.operator.memoryMiB("VmRSS")-memory)*1000/float64(n))
	w.requireAccepted(n + 1)
	names := pods.names()
	w.Must(inParallel(n, func(i int) error { return w.endPod(names[i]) }))
	waitFor(b, "the tokens of all pods are revoked", 100*time.Millisecond, func() bool {
		return len(w.Coder.Keys(coderd.KeyFilter{NamePrefix: "cso-", Live: true})) == 1
	})
	w.awaitSettled()
	f.addSample("operator-CPU-ms/pod", (w.operator.cpuTime()-cpu).Seconds()*1000/float64(n))
	w.reportCalls(b, f, n, filterCalls(callsSince(calls, w.calls.countCalls(b)), notOfLease))
}

// reportCalls reports the calls for n pods, and fails if they are too many.
func (w *scaleEnv) reportCalls(b *testing.B, f *figures, n int, calls map[string]int) {
	b.Helper()
	coderCalls := w.coderCalls()
	f.addSample("API-calls/pod", float64(sumOf(calls))/float64(n))
	f.addEach(calls, float64(n), "pod")
	f.addSample("Coder-calls/pod", float64(sumOf(coderCalls))/float64(n))
	f.addEach(coderCalls, float64(n), "pod")
	counted := calls["patch codersessions/status"]
	own := sumOf(calls) - counted + min(counted, n) - calls["patch coderdeployments/status"] - calls["watch pods"]
	if own > mostAPICalls*n {
		b.Errorf("%d API calls for %d pods, want %d for each at most: %v", own, n, mostAPICalls, calls)
	}
	about := sumOf(filterCalls(coderCalls, func(call string) bool {
		return call == "POST /api/v2/users/{user}/keys/tokens" || call == "GET /api/v2/users/{user}/keys/{keyid}" ||
			call == "DELETE /api/v2/users/{user}/keys/{keyid}"
	}))
	if about > mostCoderCalls*n {
		b.Errorf("%d calls to Coder about the tokens of %d pods, want %d for each at most: %v", about, n, mostCoderCalls,
			coderCalls)
	}
}

// servePods starts the operator with its webhook, and leads the API server to that. The returned function
// is for the end.
func (w *scaleEnv) servePods() (end func()) {
	w.T.Helper()
	authority, err := certs.NewAuthority("webhook", nil)
	w.Must(err)
	certificate, err := authority.Issue(certs.Request{})
	w.Must(err)
	files, err := os.MkdirTemp(folder, "webhook-")
	w.Must(err)
	for name, content := range certificate.Data() {
		w.Must(os.WriteFile(filepath.Join(files, name), []byte(content), 0o600))
	}
	address, err := program.FreeAddress()
	w.Must(err)
	w.operator = startOperator(w.T, w.user.Kubeconfig, "--enable-webhooks", "--pod-sessions",
		"--webhook-bind-address="+address, "--webhook-cert-dir="+files)
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: w.Namespace},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "pods.credentials.coder.com",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL: ptr.To("https://" + address + webhook.Path), CABundle: authority.PEM(),
			},
			AdmissionReviewVersions: []string{"v1"}, SideEffects: ptr.To(admissionregistrationv1.SideEffectClassNone),
			FailurePolicy:  ptr.To(admissionregistrationv1.Fail),
			ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelInject: "true"}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"},
				},
			}},
		}},
	}
	w.Must(w.watcher.Create(w.T.Context(), configuration))
	return func() { w.Must(w.watcher.Delete(context.Background(), configuration)) }
}

// createFirstPod makes a pod and waits for its Secret: what is done once for all pods is done then.
func (w *scaleEnv) createFirstPod() {
	w.T.Helper()
	waitFor(w.T, "the API server asks the webhook", 100*time.Millisecond, func() bool {
		pod := w.newPod()
		err := w.watcher.Create(w.T.Context(), pod, client.DryRunAll)
		return err == nil && pod.Annotations[v1alpha1.AnnotationPodSession] != ""
	})
	secrets := w.followSecrets()
	secrets.await(w.T, w.createPods(1, 0))
}

func (w *scaleEnv) newPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.Namespace, GenerateName: "job-",
			Labels:      map[string]string{v1alpha1.LabelInject: "true"},
			Annotations: map[string]string{v1alpha1.AnnotationSession: "each"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "job", Image: "job"}}},
	}
}

// createdPods are pods by the name of their session, and so of their Secret.
type createdPods map[string]createdPod

type createdPod struct {
	name string
	sent time.Time // when its creation was asked for
}

func (p createdPods) names() []string {
	names := make([]string, 0, len(p))
	for _, pod := range p {
		names = append(names, pod.name)
	}
	return names
}

// createPods creates n pods, so many a second or, if that is 0, as fast as the API server takes them.
func (w *scaleEnv) createPods(n, perSecond int) createdPods {
	w.T.Helper()
	pods := createdPods{}
	var mu sync.Mutex
	create := func(int) error {
		pod, sent := w.newPod(), time.Now()
		if err := w.watcher.Create(w.T.Context(), pod); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		pods[pod.Annotations[v1alpha1.AnnotationPodSession]] = createdPod{pod.Name, sent}
		return nil
	}
	if perSecond == 0 {
		w.Must(inParallel(n, create))
		return pods
	}
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		<-ticker.C
		all.Go(func() { errs[i] = create(i) })
	}
	all.Wait()
	w.Must(errors.Join(errs...))
	return pods
}

// endPod makes a pod succeed.
func (w *scaleEnv) endPod(name string) error {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"phase":"Succeeded"}}`))
	if err := w.watcher.Status().Patch(w.T.Context(), pod, patch); err != nil {
		return fmt.Errorf("end pod %s: %w", name, err)
	}
	return nil
}

// seenSecrets is when each generated Secret was seen first, by name.
type seenSecrets struct {
	stop func()
	mu   sync.Mutex
	seen map[string]time.Time
}

// followSecrets notes when generated Secrets appear from now on.
func (w *scaleEnv) followSecrets() *seenSecrets {
	w.T.Helper()
	changes, err := w.watcher.Watch(w.T.Context(), &corev1.SecretList{}, client.InNamespace(w.Namespace),
		client.HasLabels{v1alpha1.LabelSession})
	w.Must(err)
	s := &seenSecrets{stop: changes.Stop, seen: map[string]time.Time{}}
	go func() {
		for event := range changes.ResultChan() {
			secret, ok := event.Object.(*corev1.Secret)
			if !ok {
				return
			}
			s.mu.Lock()
			if _, known := s.seen[secret.Name]; !known {
				s.seen[secret.Name] = time.Now()
			}
			s.mu.Unlock()
		}
	}()
	return s
}

// await waits for the Secrets of all pods, and returns when each was seen. Then it ends.
func (s *seenSecrets) await(t testing.TB, pods createdPods) map[string]time.Time {
	t.Helper()
	defer s.stop()
	at := map[string]time.Time{}
	waitFor(t, "all pods have their Secret", 20*time.Millisecond, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for name := range pods {
			seen, ok := s.seen[name]
			if !ok {
				return false
			}
			at[name] = seen
		}
		return true
	})
	return at
}
