// SPDX-License-Identifier: Apache-2.0

package lookup_test

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// B21: a Secret leads to the sessions that it concerns: by its own name, by that in their spec, and by that of the
// Secret with their grant.
func TestSessionsOfSecret(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	builder := fake.NewClientBuilder().WithScheme(scheme)
	for _, s := range []struct{ namespace, name, secret string }{
		{"builds", "ci", ""},
		{"builds", "named", "published"},
		{"builds", "same", "same"},
		{"builds", "published", "elsewhere"},
		{"builds", "ci-oauth", ""},
		{"builds", "both", "both-oauth"},
		{"others", "ci", ""},
	} {
		session := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.name}}
		if s.secret != "" {
			session.Spec.Secret = &v1alpha1.GeneratedSecret{Name: v1alpha1.ObjectName(s.secret)}
		}
		builder.WithObjects(session)
	}
	for _, err := range []error{
		v1alpha1.AddToScheme(scheme),
		lookup.AddIndexes(t.Context(), testenv.Indexer{ClientBuilder: builder}, inventory.Names{}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	reader := builder.Build()
	for secret, want := range map[string][]string{
		"ci": {"ci"}, "same": {"same"}, "published": {"named"}, "elsewhere": {"published"}, "named": nil,
		"ci-oauth": {"ci", "ci-oauth"}, "named-oauth": {"named"}, "both-oauth": {"both"}, "both": nil, "unknown": nil,
		"-oauth": nil,
	} {
		sessions, err := lookup.SessionsOfSecret(t.Context(), reader, types.NamespacedName{Namespace: "builds", Name: secret})
		var got []string
		for _, key := range lookup.Keys(sessions) {
			got = append(got, key.Name)
			if key.Namespace != "builds" {
				t.Errorf("Secret %s leads to %s", secret, key)
			}
		}
		if slices.Sort(got); err != nil || !slices.Equal(got, want) {
			t.Errorf("Secret %s: %v, error %v, want %v", secret, got, err, want)
		}
	}
}
