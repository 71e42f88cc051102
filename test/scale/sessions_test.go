// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// workers is how many write at a time.
const workers = 20

// mintSessions creates n sessions and returns how long it took until all were ready.
func (w *scaleEnv) mintSessions(n int) time.Duration {
	w.T.Helper()
	started := time.Now()
	created := make(chan error, 1)
	go func() {
		created <- inParallel(n, func(i int) error {
			return w.watcher.Create(w.T.Context(), w.NewSession(fmt.Sprintf("session-%04d", i),
				v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: bot(i)}}))
		})
	}()
	ready := map[string]bool{}
	w.followSessions(fmt.Sprintf("%d sessions are ready", n), func(s *v1alpha1.CoderSession) bool {
		if isReady(s) {
			ready[s.Name] = true
		} else {
			delete(ready, s.Name)
		}
		return len(ready) == n
	})
	took := time.Since(started)
	w.Must(<-created)
	return took
}

// requireAccepted checks that exactly n tokens live on the server, each of them in one
// session's Secret.
func (w *scaleEnv) requireAccepted(n int) {
	w.T.Helper()
	values, err := w.listTokens(w.T.Context())
	w.Must(err)
	published := map[string]bool{}
	for _, value := range values {
		if w.Coder.AcceptsToken(value) {
			published[value] = true
		}
	}
	live := w.liveTokens()
	if len(published) != n || live != n {
		w.T.Fatalf("%d tokens that the server accepts are published and %d live there, want %d", len(published), live, n)
	}
}

// listTokens reads the values in the Secrets of all sessions, of all namespaces.
func (w *scaleEnv) listTokens(ctx context.Context) ([]string, error) {
	var secrets corev1.SecretList
	if err := w.watcher.List(ctx, &secrets, client.HasLabels{v1alpha1.LabelSession}); err != nil {
		return nil, err
	}
	values := make([]string, 0, len(secrets.Items))
	for i := range secrets.Items {
		values = append(values, string(secrets.Items[i].Data["session"]))
	}
	return values, nil
}

// inParallel calls do for each of n numbers, by several workers.
func inParallel(n int, do func(i int) error) error {
	errs := make([]error, workers)
	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			for i := worker; i < n && errs[worker] == nil; i += workers {
				errs[worker] = do(i)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
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
