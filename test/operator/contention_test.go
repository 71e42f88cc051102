// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// otherWriter changes a Secret whenever it is as the operator wrote it, as external-secrets does with
// a Secret that it merges into.
func (w *operatorEnv) otherWriter(name string, change func(*corev1.Secret) bool) (stop func()) {
	ctx, cancel := context.WithCancel(w.T.Context())
	ended := make(chan struct{})
	ticker := time.NewTicker(20 * time.Millisecond)
	go func() {
		defer close(ended)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			secret, err := w.GetSecret(ctx, name)
			if err == nil && change(secret) {
				err = w.Client.Update(ctx, secret, client.FieldOwner("another-controller"))
			}
			if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !errors.Is(err, context.Canceled) {
				w.T.Error(err)
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// B113: another writer of the generated Secret. The operator's writes back off, one condition names
// the other's field manager, and the token stays.
func TestAnotherWriterOfTheGeneratedSecret(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Secret) bool
		mints  int
		writer string // as the condition names it: the API server does not record who only takes away
	}{
		"a field more": {mints: 1, writer: `"another-controller"`, change: func(s *corev1.Secret) bool {
			_, there := s.Data["EXTRA"]
			s.Data["EXTRA"] = []byte("theirs")
			return !there
		}},
		"annotations taken away": {mints: 1, change: func(s *corev1.Secret) bool {
			there := s.Annotations[v1alpha1.AnnotationSerial] != ""
			s.Annotations = nil
			return there
		}},
		"the owner taken away": {mints: 1, change: func(s *corev1.Secret) bool {
			there := len(s.OwnerReferences) > 0
			s.OwnerReferences = nil
			return there
		}},
		"the contents replaced": {mints: 5, writer: `"another-controller"`, change: func(s *corev1.Secret) bool {
			_, there := s.Data["session"]
			s.Data = map[string][]byte{"theirs": []byte("x")}
			return there
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			w.startOperator()
			w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
			w.Eventually(w.IsReady("ci"))
			token := string(w.CurrentSecret("ci").Data["session"])
			before := w.calls.allCalls()
			stop := w.otherWriter("ci", c.change)
			w.Eventually(w.hasCalled("PUT secrets", before, 4),
				w.SessionIs("ci", v1alpha1.ConditionSecretSynced, "False", v1alpha1.ReasonSecretModified, c.writer),
				w.hasEvent(corev1.EventTypeWarning, v1alpha1.ReasonSecretModified, `changes Secret "ci"`))
			// Four writes take at least 0 + 1 + 2 + 4 s. More than these come of no hurry of the test.
			calls := w.calls.callsSince(before)
			if calls["PUT secrets"] > 5 || calls["PATCH codersessions/status"] > 12 {
				t.Errorf("the operator does not back off: %v", calls)
			}
			if got := w.CountMints(); got > c.mints {
				t.Errorf("%d tokens were minted", got)
			}
			stop()
			active := w.SessionIs("ci", v1alpha1.ConditionReady, "True", v1alpha1.ReasonActive, "")
			w.Eventually(active, func(ctx context.Context) error {
				secret, err := w.GetSecret(ctx, "ci")
				if err != nil {
					return err
				}
				if secret.Annotations[v1alpha1.AnnotationSerial] == "" || !w.CurrentSession("ci").Controls(secret) ||
					secret.Data["EXTRA"] != nil || !w.Coder.AcceptsToken(string(secret.Data["session"])) {
					return fmt.Errorf("not restored: %v, owners %v", secret.Annotations, secret.OwnerReferences)
				}
				return nil
			})
			if got := string(w.CurrentSecret("ci").Data["session"]); c.mints == 1 && got != token {
				t.Error("the token was replaced")
			}
		})
	}
}

// deleteWithoutEnd deletes a Secret as soon as it is there, and counts how often it tried.
func (w *operatorEnv) deleteWithoutEnd(name string) (tried func() int, stop func()) {
	ctx, cancel := context.WithCancel(w.T.Context())
	ended, count := make(chan struct{}), atomic.Int64{}
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			err := w.Client.Delete(ctx, &corev1.Secret{ObjectMeta: w.Meta(name)})
			if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
				w.T.Error(err)
			}
			count.Add(1)
		}
	}()
	return func() int { return int(count.Load()) }, func() {
		cancel()
		<-ended
	}
}

// B113: something deletes the generated Secret as fast as it can. The first deletion is repaired at
// once; then minting backs off, one condition and one event say why, and it ends by itself.
func TestAGeneratedSecretThatIsDeletedWithoutEnd(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	tried, stop := w.deleteWithoutEnd("ci")
	w.Eventually(
		w.SessionIs("ci", v1alpha1.ConditionReady, "False", v1alpha1.ReasonSecretModified, `deletes Secret "ci"`),
		w.SessionIs("ci", v1alpha1.ConditionSecretSynced, "False", v1alpha1.ReasonSecretModified, `deletes Secret "ci"`),
		func(context.Context) error {
			// The fourth repair comes 0 + 1 + 2 + 4 s after the first deletion.
			if mints, deletions := w.CountMints()-1, tried(); mints < 4 || deletions < 30 {
				return fmt.Errorf("%d tokens were minted in place of deleted ones, after %d deletions", mints, deletions)
			}
			return nil
		})
	if got := w.CountMints() - 1; got > 5 {
		t.Errorf("%d tokens were minted in place of deleted ones: the operator does not back off", got)
	}
	stop()
	w.Eventually(w.IsReady("ci"), w.countsEvents("ci", v1alpha1.ReasonSecretModified, 1))
	if live := w.LiveTokens("cso-"); len(live) > 6 {
		t.Errorf("%d tokens are alive", len(live))
	}
}

// countsEvents: so many events about a session have this reason.
func (w *operatorEnv) countsEvents(name, reason string, want int) wait.Check {
	return func(ctx context.Context) error {
		var list eventsv1.EventList
		if err := w.Client.List(ctx, &list, client.InNamespace(w.Namespace)); err != nil {
			return err
		}
		found := 0
		for i := range list.Items {
			if e := &list.Items[i]; e.Regarding.Name == name && e.Reason == reason {
				found++
			}
		}
		if found != want {
			return fmt.Errorf("%d events %s about %s, want %d", found, reason, name, want)
		}
		return nil
	}
}

// B116: the key of fingerprints is lost. Each token is looked at once, nothing is minted, and no
// workload is rolled.
func TestALostKeyCostsOneLook(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.createWorkload("runner")
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", withRestart("runner")))
	w.Eventually(w.IsReady("ci"))
	w.requestNewToken("ci", "2h")
	w.Eventually(w.IsReady("ci"), w.hasRolledOut("runner", "ci", ""))
	w.rollOut("runner")
	written := w.CurrentSecret("ci")
	rolled, err := w.rolledTo(t.Context(), "runner", "ci")
	w.Must(err)
	w.stopOperator()
	w.fingerprintKey = "another key, which is 32 bytes ."
	w.startOperator()
	w.Eventually(w.IsReady("ci"), func(ctx context.Context) error {
		now, err := w.GetSecret(ctx, "ci")
		const by = v1alpha1.AnnotationFingerprint
		if err != nil || now.Annotations[by] == written.Annotations[by] {
			return fmt.Errorf("the Secret was not written with the other key: %w", err)
		}
		return nil
	})
	now := w.CurrentSecret("ci")
	if string(now.Data["session"]) != string(written.Data["session"]) || w.CountMints() != 2 {
		t.Errorf("%d tokens were minted", w.CountMints())
	}
	if again, err := w.rolledTo(t.Context(), "runner", "ci"); err != nil || again != rolled {
		t.Errorf("the workload was rolled: %v, %q, %q", err, rolled, again)
	}
}
