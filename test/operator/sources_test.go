// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// attacker is a CoderDeployment that leads to a server of the attacker's.
func (w *operatorEnv) attacker(changes ...testenv.DeploymentChange) (*coderd.Server, *v1alpha1.CoderDeployment) {
	w.T.Helper()
	server := coderd.New(coderd.Options{DisableRateLimits: true})
	listener, err := server.Start(coderd.ListenOptions{})
	w.Must(err)
	w.T.Cleanup(func() { _ = listener.Close() })
	deployment := &v1alpha1.CoderDeployment{
		ObjectMeta: w.Meta("attacker"), Spec: v1alpha1.CoderDeploymentSpec{URL: listener.URL()},
	}
	deployment.Spec.Verify = v1alpha1.VerifyPolicy{Interval: "1s", QuietPeriod: "200ms", MaxDelay: "2s", Timeout: "5s"}
	for _, change := range changes {
		change(&deployment.Spec)
	}
	return server, deployment
}

// B132: where no policy asks for the rights of the author, the operator still sends and copies nothing
// that it wrote itself, and no token of a CoderDeployment's own.
func TestWhatTheOperatorWroteIsNoSource(t *testing.T) {
	w := newEnv(t)
	w.startOperator()
	server, deployment := w.attacker()
	w.Create(w.newDeployment("prod", withInterval("1s")), deployment, w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"), w.IsVerified("attacker"))
	grant := &corev1.Secret{ObjectMeta: w.Meta("hers-oauth"), Data: map[string][]byte{"token": []byte(w.userToken("ada"))}}
	grant.Labels = map[string]string{v1alpha1.LabelGrant: "hers"}
	// Labels can be removed by others.
	bare := w.CurrentSecret("ci")
	bare.Labels = nil
	w.Must(w.Client.Update(t.Context(), bare))
	w.Create(grant)
	asked := server.Count("GET", "/api/v2/users/{user}")
	for source, problem := range map[string]string{
		"ci":                `Secret "ci" is what the operator wrote for a CoderSession`,
		"hers-oauth":        `Secret "hers-oauth" is what the operator wrote for a CoderSession`,
		testenv.TokenSecret: `Secret "token" has the own token of CoderDeployment "prod"`,
	} {
		name := "from-" + source
		w.Create(w.NewSuppliedSession(name, source, func(spec *v1alpha1.CoderSessionSpec) {
			spec.DeploymentRef.Name = "attacker"
			if source == "ci" {
				spec.Auth.Token.SecretRef.Key = "session"
			}
		}))
		w.Eventually(w.IsNotReady(name, v1alpha1.ReasonConfigInvalid, problem))
	}
	if got := server.Count("GET", "/api/v2/users/{user}"); got != asked {
		t.Errorf("the attacker's server was sent something %d times", got-asked)
	}
}

// B132: nor does a CoderDeployment send what the operator wrote.
func TestADeploymentSendsNothingThatTheOperatorWrote(t *testing.T) {
	w := newEnv(t)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	server, deployment := w.attacker(func(spec *v1alpha1.CoderDeploymentSpec) {
		from := &v1alpha1.HeaderSource{SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "ci", Key: "session"}}
		spec.Headers = []v1alpha1.Header{{Name: "X-Leak", ValueFrom: from}}
	})
	w.Create(deployment)
	words := fmt.Sprintf("Secret %s/ci: is what the operator wrote for a CoderSession", w.Namespace)
	w.Eventually(w.DeploymentIs("attacker", v1alpha1.ConditionReady, "False",
		v1alpha1.ReasonConfigInvalid, words))
	w.EditDeployment("attacker", func(d *v1alpha1.CoderDeployment) {
		d.Spec.Headers = nil
		d.Spec.Token = &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: "ci", Key: "session"}}
	})
	w.Eventually(w.DeploymentIs("attacker", v1alpha1.ConditionReady, "False",
		v1alpha1.ReasonConfigInvalid, words))
	if requests := server.Requests(); len(requests) > 0 {
		t.Errorf("the attacker's server was asked: %+v", requests)
	}
}
