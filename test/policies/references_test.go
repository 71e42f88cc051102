// SPDX-License-Identifier: Apache-2.0

package policies_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/coder-session-operator/coder-session-operator/test/declared"
)

// reference is a field of a spec that names an object.
type reference struct {
	// spec has the field and names the object "x".
	spec string
	// may is what the author must be allowed to do with the object; empty Verbs: nothing.
	may rbacv1.PolicyRule
	// refusal is what an author is told who is not.
	refusal string
}

func getSecret(spec string) reference {
	return reference{spec, rule("", "secrets", []string{"x"}, "get"),
		"you may not get Secret NS/x, which the operator would read for you: ask for the right to get it, " +
			"or name another one"}
}

func getConfigMap(spec string) reference {
	r := getSecret(spec)
	r.may, r.refusal = rule("", "configmaps", []string{"x"}, "get"), strings.Replace(r.refusal, "Secret", "ConfigMap", 1)
	return r
}

func restart(kind string) reference {
	resource := strings.ToLower(kind) + "s"
	return reference{
		certificate + "\nrestart: [{kind: " + kind + ", name: x}]", rule("apps", resource, []string{"x"}, "patch"),
		"you may not patch " + resource + " NS/x, which restart has the operator do for you: ask for the right to " +
			"patch it, or remove it from restart",
	}
}

// references are all fields that name an object, each with what it can name.
var references = map[string][]reference{
	"CoderDeployment spec/token/secretRef/name":            {getSecret("token: {secretRef: {name: x}}")},
	"CoderDeployment spec/tls/clientCertificateSecretName": {getSecret("tls: {clientCertificateSecretName: x}")},
	"CoderDeployment spec/tls/caBundle/name": {
		getSecret("tls: {caBundle: {kind: Secret, name: x}}"), getConfigMap("tls: {caBundle: {kind: ConfigMap, name: x}}"),
	},
	"CoderDeployment spec/oauth/clientSecretName": {getSecret("oauth: {clientSecretName: x}")},
	"CoderDeployment spec/headers/valueFrom/secretKeyRef/name": {
		getSecret("headers: [{name: A, value: a}, {name: B, valueFrom: {secretKeyRef: {name: x, key: k}}}]"),
	},
	"CoderDeployment spec/headers/valueFrom/configMapKeyRef/name": {
		getConfigMap("headers: [{name: A, valueFrom: {configMapKeyRef: {name: x, key: k}}}]"),
	},
	"CoderSession spec/auth/token/secretRef/name": {{
		"auth: {token: {secretRef: {name: x}}}", rule("", "secrets", []string{"x"}, "get"),
		"you may not get Secret NS/x, which auth.token has the operator copy for you: ask for the right to get it, " +
			"or name another one",
	}},
	"CoderSession spec/restart/name": {restart("Deployment"), restart("StatefulSet"), restart("DaemonSet")},
	// Its own spec.access says who may use it; in the same namespace everybody may.
	"CoderSession spec/deploymentRef/name": {{spec: minted}},
}

// B132, B139: whatever a spec names, its author has to have the right that the operator uses for it. A
// reference that is added to the API fails this test until a policy asks for it.
func TestEachReferenceNeedsARightOfTheAuthor(t *testing.T) {
	if diff := cmp.Diff(declared.References(), slices.Sorted(maps.Keys(references))); diff != "" {
		t.Fatalf("references (-in the API +here):\n%s", diff)
	}
	for field, cases := range references {
		for i, c := range cases {
			t.Run(fmt.Sprintf("%s %d", field, i), func(t *testing.T) {
				w := newEnv(t)
				kind, _, _ := strings.Cut(field, " ")
				object := w.object(kind, "prod", []string{"url: https://coder.example.com", c.spec})
				rights := []rbacv1.PolicyRule{rule(ownGroup, strings.ToLower(kind)+"s", nil, "create")}
				if kind == "CoderSession" {
					object = w.session("ci", c.spec)
					rights = append(rights, rule("", "secrets", nil, "create", "update"))
				}
				if len(c.may.Verbs) > 0 {
					// Another object of the kind, all other verbs, and the same name of other kinds are no help.
					other, verbs := *c.may.DeepCopy(), *c.may.DeepCopy()
					other.ResourceNames = []string{"y"}
					verbs.Verbs = []string{"list", "watch", "delete"}
					few := w.user(append(slices.Clone(rights), other, verbs)...)
					w.expectRefused(w.dryCreate(few, object), c.refusal)
					rights = append(rights, c.may)
				}
				w.expectAllowed(w.dryCreate(w.user(rights...), object))
			})
		}
	}
}

// The policies know which fields of the spec they look at, and all others are harmless: they change
// neither what is read, nor where it is sent, nor who gets it.
func TestEachFieldIsJudgedOrHarmless(t *testing.T) {
	t.Parallel()
	harmless := map[string]string{
		"coderdeployments verify":    "when the server is asked",
		"coderdeployments retention": "which sessions are retired",
		"coderdeployments rateLimit": "how often the server is asked",
		"codersessions rotation":     "when a credential is replaced",
		"codersessions paused":       "whether it is worked on",
	}
	texts := map[string]string{}
	for _, object := range readPolicies(t) {
		if object.GetKind() == "ValidatingAdmissionPolicy" {
			texts[object.GetName()] = fmt.Sprint(object.Object["spec"])
		}
	}
	for resource, policy := range map[string]string{
		"coderdeployments": "coder-session-operator-deployment-rights",
		"codersessions":    "coder-session-operator-session-rights",
	} {
		spec := declared.CRDSchemas(t)[resource].Properties["spec"]
		for field := range spec.Properties {
			// Such as object.spec.?tls != oldObject.spec.?tls.
			judged := strings.Contains(texts[policy], "oldObject.spec."+field) ||
				strings.Contains(texts[policy], "oldObject.spec.?"+field)
			if _, isHarmless := harmless[resource+" "+field]; judged == isHarmless {
				t.Errorf("%s: spec.%s is judged: %t, harmless: %t, want one of the two", policy, field, judged, isHarmless)
			}
		}
	}
}
