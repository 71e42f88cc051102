// SPDX-License-Identifier: Apache-2.0

package policies_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// installFinalizerPolicy installs the policy of config/session_finalizer for the test's namespace, and waits
// until it is in force.
func (w *policyEnv) installFinalizerPolicy() {
	w.t.Helper()
	root, err := kube.Root()
	w.must(err)
	text, err := os.ReadFile(filepath.Join(root, "config", "session_finalizer", "session_finalizer.yaml"))
	w.must(err)
	here := map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": w.namespace}}
	for part := range strings.SplitSeq(string(text), "\n---\n") {
		object := parse(w.t, part)
		if object.GetKind() == "MutatingAdmissionPolicyBinding" {
			w.must(unstructured.SetNestedMap(object.Object, here, "spec", "matchResources", "namespaceSelector"))
		}
		w.must(w.cluster.Client.Create(w.t.Context(), object))
		w.t.Cleanup(func() { _ = w.cluster.Client.Delete(context.Background(), object) })
	}
	w.must(wait.Until(w.t.Context(), patience, 0, func(ctx context.Context) error {
		trial := w.session("trial", minted)
		if err := w.cluster.Client.Create(ctx, trial, client.DryRunAll); err != nil {
			return err
		}
		if len(trial.GetFinalizers()) == 0 {
			return errors.New("the policy is not in force yet")
		}
		return nil
	}))
}

// A new session that mints has the finalizer from its creation, besides those that it asks for. Others have
// none, and who applies the session again does not take it away.
func TestTheFinalizerIsThereFromTheCreation(t *testing.T) {
	w := newEnv(t)
	w.installFinalizerPolicy()
	own := v1alpha1.SessionFinalizer
	for name, test := range map[string]struct {
		spec       string
		finalizers []string
		want       []string
		applyAgain bool
	}{
		"minted":    {spec: minted, want: []string{own}},
		"others":    {spec: minted, finalizers: []string{"example.com/a"}, want: []string{"example.com/a", own}},
		"has-it":    {spec: minted, finalizers: []string{own}, want: []string{own}},
		"supplied":  {spec: "auth: {token: {secretRef: {name: x}}}"},
		"of-pods":   {spec: minted + "\nperPod: {}"},
		"by-gitops": {spec: minted, want: []string{own}, applyAgain: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := w.session(name, test.spec)
			s.SetFinalizers(test.finalizers)
			create := func(s *unstructured.Unstructured) error { return w.cluster.Client.Create(t.Context(), s) }
			if test.applyAgain {
				create = func(s *unstructured.Unstructured) error {
					return w.cluster.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(s),
						client.FieldOwner("gitops"))
				}
				if err := create(s.DeepCopy()); err != nil {
					t.Fatal(err)
				}
			}
			if err := create(s); err != nil {
				t.Fatal(err)
			}
			if got := s.GetFinalizers(); !slices.Equal(got, test.want) {
				t.Errorf("finalizers %q, want %q", fmt.Sprint(got), fmt.Sprint(test.want))
			}
			s.SetFinalizers(nil)
			w.must(w.cluster.Client.Update(t.Context(), s))
		})
	}
}
