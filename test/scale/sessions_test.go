package scale_test

import (
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// workers is how many write at a time.
const workers = 20

// minted creates n sessions and returns how long it took until all were ready.
func (w *world) minted(n int) time.Duration {
	w.b.Helper()
	changes := w.watch()
	defer changes.Stop()
	started := time.Now()
	w.inParallel(n, func(i int) error {
		return w.client.Create(w.b.Context(), w.session(fmt.Sprintf("session-%04d", i), v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: bot(i)}}))
	})
	ready := map[string]bool{}
	w.follow(changes, fmt.Sprintf("%d sessions are ready", n), func(s *v1alpha1.CoderSession) bool {
		if isReady(s) {
			ready[s.Name] = true
		} else {
			delete(ready, s.Name)
		}
		return len(ready) == n
	})
	return time.Since(started)
}

// accepted checks that exactly n tokens live on the server, each of them in one
// session's Secret.
func (w *world) accepted(n int) {
	w.b.Helper()
	var secrets corev1.SecretList
	w.must(w.client.List(w.b.Context(), &secrets, client.InNamespace(w.namespace), client.HasLabels{v1alpha1.LabelSession}))
	published := map[string]bool{}
	for i := range secrets.Items {
		if value := string(secrets.Items[i].Data["session"]); w.coder.AcceptsToken(value) {
			published[value] = true
		}
	}
	live := len(w.coder.Keys(coderd.KeyFilter{NamePrefix: "cso-", Live: true}))
	if len(published) != n || live != n {
		w.b.Fatalf("%d tokens that the server accepts are published and %d live there, want %d", len(published), live, n)
	}
}

// inParallel calls do for each of n numbers, by several workers.
func (w *world) inParallel(n int, do func(i int) error) {
	w.b.Helper()
	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			for i := worker; i < n; i += workers {
				if err := do(i); err != nil {
					w.b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if w.b.Failed() {
		w.b.FailNow()
	}
}

// watch tells of every change of a session from now on.
func (w *world) watch() watch.Interface {
	w.b.Helper()
	changes, err := w.client.Watch(w.b.Context(), &v1alpha1.CoderSessionList{}, client.InNamespace(w.namespace))
	w.must(err)
	return changes
}

// follow reads changes until one of them is the last that was waited for.
func (w *world) follow(changes watch.Interface, what string, last func(*v1alpha1.CoderSession) bool) {
	w.b.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		select {
		case event := <-changes.ResultChan():
			s, ok := event.Object.(*v1alpha1.CoderSession)
			if !ok {
				w.b.Fatalf("the watch has ended: %v", event)
			}
			if last(s) {
				return
			}
		case <-deadline.C:
			w.b.Fatalf("still not so after %s: %s\n%s", patience, what, w.operator.lastWords())
		}
	}
}

func isReady(s *v1alpha1.CoderSession) bool {
	return readyBecause(s.Status.Conditions, metav1.ConditionTrue, v1alpha1.ReasonActive)
}

func isSuspended(s *v1alpha1.CoderSession) bool {
	return readyBecause(s.Status.Conditions, metav1.ConditionFalse, v1alpha1.ReasonSuspended)
}

func readyBecause(conditions []metav1.Condition, status metav1.ConditionStatus, reason string) bool {
	c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	return c != nil && c.Status == status && c.Reason == reason
}
