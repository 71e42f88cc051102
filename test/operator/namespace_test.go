// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// deleteNamespace does what kubectl delete namespace and the controller of namespaces do: the API
// server takes nothing new in it from then on, and Secrets and ConfigMaps go before what has a
// finalizer. The namespace itself stays, because that controller is not there.
func (w *operatorEnv) deleteNamespace() {
	w.T.Helper()
	w.Must(w.Client.Delete(w.T.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.Namespace}}))
	w.deleteContents(&corev1.Secret{}, &corev1.ConfigMap{})
}

func (w *operatorEnv) deleteContents(kinds ...client.Object) {
	w.T.Helper()
	for _, kind := range kinds {
		w.Must(w.Client.DeleteAllOf(w.T.Context(), kind, client.InNamespace(w.Namespace)))
	}
}

// shardObjects puts objects into the shard of the test's operator.
func (w *operatorEnv) shardObjects(objects ...client.Object) []client.Object {
	for _, object := range objects {
		object.SetLabels(w.shardLabels())
	}
	return objects
}

// hasLoggedToken: the log names a token that could not be revoked.
func (w *operatorEnv) hasLoggedToken(id string) wait.Check {
	return func(context.Context) error {
		for line := range strings.Lines(logs.String()) {
			if strings.Contains(line, "could not be revoked") && strings.Contains(line, id) {
				return nil
			}
		}
		return fmt.Errorf("the log does not name token %s", id)
	}
}

// noSessions: all sessions of the namespace are gone.
func (w *operatorEnv) noSessions() wait.Check {
	return func(ctx context.Context) error {
		var left v1alpha1.CoderSessionList
		if err := w.Client.List(ctx, &left, client.InNamespace(w.Namespace)); err != nil {
			return err
		}
		if len(left.Items) > 0 {
			return fmt.Errorf("%d sessions are left, the first: %+v", len(left.Items), left.Items[0].Status.Conditions)
		}
		return nil
	}
}

const sessionsOfNamespace = 50

func (w *operatorEnv) createManySessions() {
	w.T.Helper()
	w.Create(w.shardObjects(w.newDeployment("prod"))...)
	for i := range sessionsOfNamespace {
		w.Create(w.shardObjects(w.NewMintedSession(fmt.Sprintf("s-%02d", i), "ci-bot"))...)
	}
	w.Eventually(w.hasLiveTokens(sessionsOfNamespace))
	for i := range sessionsOfNamespace {
		w.Eventually(w.IsReady(fmt.Sprintf("s-%02d", i)))
	}
}

// B110, B117: a namespace is deleted with its deployment, its Secrets and 50 sessions. Nothing is minted
// in it, and the operator revokes with what it has in memory.
func TestANamespaceIsDeleted(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startShard()
	w.createManySessions()
	w.deleteNamespace()
	w.deleteContents(&v1alpha1.CoderDeployment{}, &v1alpha1.CoderSession{})
	w.within(10*time.Second, w.noSessions(), w.hasLiveTokens(0))
	if got := w.CountMints(); got != sessionsOfNamespace {
		t.Errorf("%d tokens were minted, want %d", got, sessionsOfNamespace)
	}
}

// B117: the operator ends after the Secrets are gone, and before the sessions. What it cannot revoke any
// more is named, in the log and in events about the namespace, and nothing waits for the timeout.
func TestANamespaceIsDeletedWhileTheOperatorIsAway(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.revocationTimeout = time.Hour
	w.startShard()
	w.Create(w.shardObjects(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))...)
	w.Eventually(w.IsReady("ci"))
	id := w.CurrentSession("ci").Status.Token.ID
	w.stopOperator()
	w.deleteNamespace()
	w.deleteContents(&v1alpha1.CoderDeployment{}, &v1alpha1.CoderSession{})
	w.startShard()
	w.within(30*time.Second, w.noSessions(), w.hasLoggedToken(id), func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := w.Client.List(ctx, &events, client.InNamespace(metav1.NamespaceDefault)); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Regarding.Name == w.Namespace && e.Reason == v1alpha1.EventRevocationAbandoned {
				return nil
			}
		}
		return fmt.Errorf("no event names token %s", id)
	})
}
