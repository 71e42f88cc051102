// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B155: of the metadata of a session the operator keeps a part in memory, and what is stored stays whole: labels,
// a long annotation and more finalizers than are kept, after the finalizer, the status, renewals and the deletion.
func TestMetadataOfOthersIsKept(t *testing.T) {
	const foreign = 40
	w := newEnv(t, withMTLS)
	w.startOperator()
	d, s := w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot")
	s.Labels, s.Annotations = map[string]string{}, map[string]string{"example.com/notes": strings.Repeat("x", 200_000)}
	for i := range 500 {
		s.Labels[fmt.Sprintf("example.com/label-%d", i)] = "x"
	}
	for i := range foreign {
		s.Finalizers = append(s.Finalizers, fmt.Sprintf("example.com/finalizer-%d", i))
	}
	d.Labels, d.Annotations = maps.Clone(s.Labels), maps.Clone(s.Annotations)
	d.Finalizers = append(d.Finalizers, s.Finalizers...)
	w.Create(d, s)
	w.Eventually(w.IsReady("ci"))
	w.asksForRenewal("ci", first)
	w.Eventually(w.isRenewalHandled("ci", first), w.hasSerial("ci", 2), w.IsReady("ci"))
	isWhole := func(finalizers int) {
		t.Helper()
		now := w.CurrentSession("ci")
		deployment, err := w.GetDeployment(t.Context(), "prod")
		w.Must(err)
		wanted := maps.Clone(s.Annotations)
		wanted[v1alpha1.AnnotationRenewRequestedAt] = first
		if !maps.Equal(now.Labels, s.Labels) || !maps.Equal(now.Annotations, wanted) || len(now.Finalizers) != finalizers {
			t.Errorf("the session has %d labels, %d annotations and %d finalizers, want %d, %d and %d",
				len(now.Labels), len(now.Annotations), len(now.Finalizers), len(s.Labels), len(wanted), finalizers)
		}
		if !maps.Equal(deployment.Labels, d.Labels) || !maps.Equal(deployment.Annotations, d.Annotations) ||
			len(deployment.Finalizers) != foreign+1 {
			t.Errorf("the deployment has %d labels, %d annotations and %d finalizers",
				len(deployment.Labels), len(deployment.Annotations), len(deployment.Finalizers))
		}
	}
	isWhole(foreign + 1)
	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.hasLiveTokens(0), func(ctx context.Context) error {
		now, err := w.GetSession(ctx, "ci")
		if err == nil && len(now.Finalizers) != foreign {
			err = fmt.Errorf("the session has the finalizers %v", now.Finalizers)
		}
		return err
	})
	isWhole(foreign)
}
