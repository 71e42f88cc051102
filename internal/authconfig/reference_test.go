// SPDX-License-Identifier: Apache-2.0

package authconfig_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
)

func TestReferencesListsEverythingOnceInOrder(t *testing.T) {
	t.Parallel()
	withOAuth := func(d *v1alpha1.CoderDeployment) { d.Spec.OAuth = &v1alpha1.OAuthClient{ClientSecretName: "oauth"} }
	for name, tc := range map[string]struct {
		deployment *v1alpha1.CoderDeployment
		want       []string
	}{
		"nothing": {newDeployment(withHeader("X-Team", "a")), nil},
		"all": {
			newDeployment(withOAuth, withToken("token", ""), withSecretHeader("B", "edge", "b"),
				withSecretHeader("A", "edge", "a"),
				withConfigMapHeader("C", "edge", "c"), withCertificate("mtls"), withBundle("ConfigMap", "ca", "")),
			[]string{"ConfigMap coder/ca", "ConfigMap coder/edge", "Secret coder/edge", "Secret coder/mtls",
				"Secret coder/oauth",
				"Secret coder/token"},
		},
		"one object for all": {
			newDeployment(withOAuth, withToken("oauth", ""), withSecretHeader("A", "oauth", "a"), withCertificate("oauth"),
				withBundle("Secret", "oauth", "")),
			[]string{"Secret coder/oauth"},
		},
		"an OAuth client that registers itself": {
			newDeployment(func(d *v1alpha1.CoderDeployment) { d.Spec.OAuth = &v1alpha1.OAuthClient{} }), nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, ref := range authconfig.References(tc.deployment) {
				got = append(got, ref.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
		})
	}
}
