// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// B111: in a namespace in which the operator may not read Secrets, everything that needs one says
// so with the API server's words; other namespaces notice nothing.
func TestAMissingRightIsReported(t *testing.T) {
	w := newEnv(t, withMTLS)
	s := &site{operatorEnv: w}
	user, err := w.Cluster.User(w.Namespace)
	w.Must(err)
	locked := w.inNamespace(w.Cluster.Namespace(t, nil))
	locked.writeReferences()
	locked.WriteSecret("mine", map[string]string{"token": w.userToken(testenv.PersonUser)})
	complete := s.rulesOfRole("role.yaml")
	s.grantRules(user.Name, w.Namespace, complete)
	s.grantRules(user.Name, locked.Namespace, withoutVerb(complete, "secrets", "get"))
	w.runOperator(user.Config, []string{w.Namespace, locked.Namespace}, nil)

	supplied := w.newGuestSession(locked.Namespace, "supplied", v1alpha1.Auth{
		Token: &v1alpha1.SuppliedTokenAuth{SecretRef: v1alpha1.TokenSecretRef{Name: "mine"}},
	})
	locked.Create(locked.newDeployment("prod", withInterval("1s")), locked.NewMintedSession("ci", "ci-bot"), supplied)
	w.Create(w.newDeployment("prod", withInterval("1s"), withAccess(v1alpha1.AccessRule{
		Name: "guests", Users: []string{"*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthToken},
	})), w.NewMintedSession("ci", "ci-bot"))
	const words = `cannot get resource "secrets"`
	w.Eventually(w.IsReady("ci"))
	locked.Eventually(
		locked.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonAPIServerRefused, words),
		locked.DeploymentIs("prod", v1alpha1.ConditionConfigResolved, "False", v1alpha1.ReasonAPIServerRefused,
			`secrets "`+testenv.CertificateSecret+`" is forbidden`),
		locked.IsNotReady("supplied", v1alpha1.ReasonAPIServerRefused, words),
		locked.IsNotReady("ci", v1alpha1.ReasonAwaitingDeployment, words),
		locked.hasWarnings(2))

	grant := func(rules []rbacv1.PolicyRule) {
		role := &rbacv1.Role{ObjectMeta: locked.Meta(user.Name)}
		locked.Write(role, func() { role.Rules = rules })
	}
	grant(complete)
	recovered := wait.All(locked.IsVerified("prod"), locked.IsReady("ci"), locked.IsReady("supplied"))
	locked.Eventually(recovered)

	// What was verified before stays good, also when it cannot be read again.
	grant(withoutVerb(complete, "secrets", "get"))
	header := locked.CurrentSecret("edge-headers")
	locked.Write(header, func() { header.Data["more"] = []byte("is there") })
	locked.Eventually(
		locked.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonAPIServerRefused, words),
		locked.SessionIs("supplied", v1alpha1.ConditionSecretSynced, "False", v1alpha1.ReasonAPIServerRefused, words),
		locked.IsReady("ci"), locked.IsReady("supplied"), locked.hasWarnings(3))
	grant(complete)
	locked.Eventually(recovered)
	w.Eventually(w.IsReady("ci"))
}

// withoutVerb is a copy of rules without one of the verbs on a resource.
func withoutVerb(rules []rbacv1.PolicyRule, resource, verb string) []rbacv1.PolicyRule {
	var kept []rbacv1.PolicyRule
	for _, rule := range rules {
		if slices.Contains(rule.Resources, resource) {
			rule.Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(v string) bool { return v == verb })
		}
		kept = append(kept, rule)
	}
	return kept
}

// B139: without the right to restart (rbac.restart: false in the chart), a session that asks for it is
// told so at once, and its credential is published all the same.
func TestWithoutTheRightToRestart(t *testing.T) {
	w := newEnv(t)
	s := &site{operatorEnv: w}
	user, err := w.Cluster.User(w.Namespace)
	w.Must(err)
	var rules []rbacv1.PolicyRule
	for _, rule := range s.rulesOfRole("role.yaml") {
		if !slices.Contains(rule.APIGroups, "apps") {
			rules = append(rules, rule)
		}
	}
	s.grantRules(user.Name, w.Namespace, rules)
	w.runOperator(user.Config, []string{w.Namespace}, nil)
	w.createWorkload("runner")
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
		spec.Restart = []v1alpha1.RestartTarget{{Kind: v1alpha1.RestartDeployment, Name: "runner"}}
	}))
	w.Eventually(w.IsReady("ci"), w.SessionIs("ci", v1alpha1.ConditionTargetsRestarted, "False",
		v1alpha1.ReasonRolloutStuck, "allow it to get and patch Deployments (rbac.restart in the values of the chart)"))
}
