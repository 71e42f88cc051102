// SPDX-License-Identifier: Apache-2.0

package edge_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// testAnswers makes an edge answer by itself, and looks at what the operator makes of it (B122).
func testAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range allEdges() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, c.at...)
			e.createObjects(e.urlOf(c), c.deployment)
			before := e.tokenFacts()
			undo := c.change(e)
			e.Eventually(e.deploymentSays(c), e.areUndecided(c.reason))
			e.verifyAgain("1")
			e.verifyAgain("2")
			e.Eventually(e.deploymentSays(c), e.areUndecided(c.reason))
			e.expectUnchanged(before, "while the edge refuses")
			checkEntry(t, c.reason, c.entry)
			checkTable(t, c.table, c.reason)
			undo()
			e.Eventually(e.isGood())
			e.expectUnchanged(before, "after the recovery")
		})
	}
}

// edgeCase is what an edge does.
type edgeCase struct {
	// plain: the deployment's URL is an http one.
	plain bool
	// at is what differs from the page's sample from the beginning.
	at []edit
	// change makes the edge refuse, and returns how to make it good again.
	change func(*edgeEnv) (undo func())
	// reason of the deployment's conditions. Verified is False, or Unknown if unknown is set.
	reason  string
	unknown bool
	// message has these words, entry (in troubleshooting) those, and table (in the page of edges) this.
	message, entry []string
	table          string
}

// urlOf is the URL of nginx.
func (e *edgeEnv) urlOf(c edgeCase) string {
	if c.plain {
		return "http://" + e.address
	}
	return "https://" + e.address
}

// deployment changes the deployment of a case before it is created.
func (c edgeCase) deployment(spec *v1alpha1.CoderDeploymentSpec) {
	if c.plain {
		spec.TLS = nil
	}
}

// deploymentSays looks whether the deployment has the reason and the message of a case.
func (e *edgeEnv) deploymentSays(c edgeCase) wait.Check {
	verified := metav1.ConditionFalse
	if c.unknown {
		verified = metav1.ConditionUnknown
	}
	checks := []wait.Check{
		e.DeploymentIs(testenv.DeploymentName, v1alpha1.ConditionReady, metav1.ConditionFalse, c.reason, ""),
	}
	for _, word := range c.message {
		checks = append(checks,
			e.DeploymentIs(testenv.DeploymentName, v1alpha1.ConditionVerified, verified, c.reason, word))
	}
	return wait.All(checks...)
}

// nginxBecomes changes the configuration of nginx.
func nginxBecomes(edits ...edit) func(*edgeEnv) func() {
	return func(e *edgeEnv) func() {
		e.nginx.reload(apply(e.t, e.sites, edits...))
		return func() { e.nginx.reload(e.sites) }
	}
}

// answering makes nginx answer every request itself.
func answering(directives string) func(*edgeEnv) func() {
	return nginxBecomes(edit{"    location / {", "    location / {\n        " + directives})
}

// certificateBecomes writes another client certificate to the operator's Secret.
func certificateBecomes(data func(*edgeEnv) map[string]string) func(*edgeEnv) func() {
	return func(e *edgeEnv) func() {
		e.WriteSecret(testenv.CertificateSecret, data(e))
		return func() { e.WriteSecret(testenv.CertificateSecret, e.client.Data()) }
	}
}

// withoutCertificate removes the client certificate from the deployment.
func withoutCertificate(e *edgeEnv) func() {
	name := func(name v1alpha1.ObjectName) {
		e.EditDeployment(testenv.DeploymentName, func(d *v1alpha1.CoderDeployment) {
			d.Spec.TLS.ClientCertificateSecretName = name
		})
	}
	name("")
	return func() { name(testenv.CertificateSecret) }
}

// both applies one change after the other.
func both(first, second func(*edgeEnv) func()) func(*edgeEnv) func() {
	return func(e *edgeEnv) func() {
		undoFirst, undoSecond := first(e), second(e)
		return func() { undoSecond(); undoFirst() }
	}
}

// testBodyLimit: an edge that refuses bodies stands in the way of new tokens only.
func testBodyLimit(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.createObjects("https://" + e.address)
	before := e.tokenFacts()
	undo := answering("client_max_body_size 10;")(e)
	const late = "late"
	e.Create(e.NewMintedSession(late, testenv.MachineUser))
	e.Eventually(e.IsNotReady(late, v1alpha1.ReasonAwaitingDeployment, "413 Request Entity Too Large"),
		e.IsNotReady(late, v1alpha1.ReasonAwaitingDeployment, "what the proxy allows"))
	e.verifyAgain("1")
	e.Eventually(e.isGood())
	e.expectUnchanged(before, "while the edge refuses bodies")
	checkEntry(t, v1alpha1.ReasonEdgeRefused, []string{"413", "raise the limits"})
	checkTable(t, "413", v1alpha1.ReasonEdgeRefused)
	undo()
	e.Eventually(e.IsReady(late), func(context.Context) error {
		if got := e.CountMints(); got != before.Mints+1 {
			return fmt.Errorf("%d tokens were minted, want one", got-before.Mints)
		}
		return nil
	}, func(ctx context.Context) error {
		if s, err := e.GetSession(ctx, late); err != nil || s.Status.Token == nil {
			return errors.Join(err, errors.New("the status shows no token"))
		}
		return nil
	})
}
