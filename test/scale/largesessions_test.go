// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// startLargeOperator starts an operator without leader election, whose end it would be if the API server were too
// busy to answer for ten seconds, and returns how long it took to be ready.
func (w *scaleEnv) startLargeOperator() time.Duration {
	w.T.Helper()
	return w.startOperator("--leader-elect=false")
}

// createLargeDeployments creates the namespaces, and the deployments that sessions of all of them may use.
func (w *scaleEnv) createLargeDeployments() (namespaces []string) {
	w.T.Helper()
	for range largeNamespaces {
		namespaces = append(namespaces, w.Cluster.Namespace(w.T, nil))
	}
	for i := range largeDeployments {
		d := w.newDeployment(largeDeployment(i), w.listener.URL(), "token", v1alpha1.VerifyPolicy{Interval: never})
		d.Spec.Access = []v1alpha1.AccessRule{{
			Name: "all", Users: []string{"*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
		}}
		w.putObject(d)
	}
	for i := range largeDeployments {
		w.awaitVerified(largeDeployment(i))
	}
	return namespaces
}

func largeDeployment(i int) string { return fmt.Sprintf("coder-%02d", i%largeDeployments) }

// newLargeSession is session i of n, of one of the deployments, in one of the namespaces.
func (w *scaleEnv) newLargeSession(namespaces []string, i, n int) *v1alpha1.CoderSession {
	s := w.NewMintedSession(fmt.Sprintf("session-%05d", i), bot(i))
	s.Namespace = namespaces[i%len(namespaces)]
	s.Spec.DeploymentRef = v1alpha1.DeploymentRef{
		Name: v1alpha1.ObjectName(largeDeployment(i)), Namespace: v1alpha1.ObjectName(w.Namespace),
	}
	s.Spec.Rotation = largeRotation(i, n)
	return s
}

// createLarge creates sessions in all namespaces in turn, and returns how long each took until it was
// ready, in milliseconds.
func (w *scaleEnv) createLarge(namespaces []string, n int) []float64 {
	w.T.Helper()
	var mu sync.Mutex
	sent := map[string]time.Time{}
	created := make(chan error, 1)
	go func() {
		created <- inParallel(n, func(i int) error {
			s := w.newLargeSession(namespaces, i, n)
			mu.Lock()
			sent[s.Name] = time.Now()
			mu.Unlock()
			return w.watcher.Create(w.T.Context(), s)
		})
	}()
	ready := w.followLarge(n, "ready", isReady)
	w.Must(<-created)
	return sinceEach(ready, func(session string) time.Time { return sent[session] })
}

// followLarge waits until something has been so of each of n sessions, and returns when it was seen first.
func (w *scaleEnv) followLarge(n int, what string, is func(*v1alpha1.CoderSession) bool) map[string]time.Time {
	w.T.Helper()
	seen := map[string]time.Time{}
	what = fmt.Sprintf("%d sessions are %s", n, what)
	w.followSessionsFor(largePatience, what, func(s *v1alpha1.CoderSession) bool {
		if _, known := seen[s.Name]; !known && is(s) {
			seen[s.Name] = time.Now()
		}
		return len(seen) == n
	})
	return seen
}

// sinceEach is how long after its own start each session was seen, in milliseconds.
func sinceEach(seen map[string]time.Time, start func(session string) time.Time) []float64 {
	times := make([]float64, 0, len(seen))
	for session, at := range seen {
		times = append(times, at.Sub(start(session)).Seconds()*1000)
	}
	return times
}

// deleteLarge deletes all sessions and waits until the last one is gone.
func (w *scaleEnv) deleteLarge(namespaces []string) {
	w.T.Helper()
	w.Must(inParallel(len(namespaces), func(i int) error {
		return w.watcher.DeleteAllOf(w.T.Context(), &v1alpha1.CoderSession{}, client.InNamespace(namespaces[i]))
	}))
	gone := wait.Holds("all sessions are gone", func() bool {
		left := &metav1.PartialObjectMetadataList{}
		left.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("CoderSessionList"))
		w.Must(w.watcher.List(w.T.Context(), left, client.Limit(1)))
		return len(left.Items) == 0
	})
	running := func(context.Context) error {
		if err := w.operator.Running(); err != nil {
			return wait.Final(err)
		}
		return nil
	}
	w.Must(wait.Until(w.T.Context(), largePatience, 200*time.Millisecond, wait.InOrder(running, gone)))
}

// requireLargeSound checks that each session is Active and has one token, which the server accepts, and that
// no deployment has a problem.
func (w *scaleEnv) requireLargeSound(n int) {
	w.T.Helper()
	w.requireAccepted(n)
	var sessions v1alpha1.CoderSessionList
	w.Must(w.watcher.List(w.T.Context(), &sessions))
	for i := range sessions.Items {
		if s := &sessions.Items[i]; !isReady(s) || len(s.Status.Conditions) > 1 {
			w.T.Fatalf("session %s: %+v", s.Name, s.Status.Conditions)
		}
	}
	for i := range largeDeployments {
		d, err := w.GetDeployment(w.T.Context(), largeDeployment(i))
		w.Must(err)
		listed := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionTokensListed)
		if !meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionReady) || listed != nil {
			w.T.Errorf("deployment %s: %+v", d.Name, d.Status.Conditions)
		}
	}
}
