// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
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
				w.SessionIs("ci", v1alpha1.ConditionSecretSynced, "False", v1alpha1.ReasonSecretModified, c.writer))
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
