// SPDX-License-Identifier: Apache-2.0

package edge_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// testWithoutToken has a session that lives by the client certificate: it is suspended when nginx
// refuses that, and by no other answer (B122).
func testWithoutToken(t *testing.T) {
	t.Parallel()
	e := newEnv(t, edit{"    location / {", "    location / {\n        proxy_set_header X-User operator;"})
	e.listener.UpdateEdge(func(edge *coderd.Edge) { edge.IdentityHeader = "X-User" })
	const plain = "plain"
	e.Create(e.NewCertificateSession(plain))
	e.createObjects("https://" + e.address)
	e.Eventually(e.IsReady(plain))

	undo := answering("return 403;")(e)
	e.Eventually(e.IsReady(plain), e.SessionIs(plain, v1alpha1.ConditionAuthenticated, metav1.ConditionUnknown,
		v1alpha1.ReasonEdgeRefused, "proxy"))
	undo()
	e.Eventually(e.isGood(), e.IsReady(plain))

	e.writeRevocations(e.client)
	e.nginx.reload(e.sites)
	e.Eventually(e.IsNotReady(plain, v1alpha1.ReasonSuspended, "client certificate"),
		e.areUndecided(v1alpha1.ReasonCertificateRejected))
	e.client = e.WriteClientCertificate(testenv.CertificateSecret, testenv.OperatorUser)
	e.Eventually(e.isGood(), e.IsReady(plain))
}
