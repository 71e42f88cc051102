// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// B102: a renewed certificate is used for the next request, without a restart.
func TestARenewedCertificateIsUsedAtOnce(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")))
	w.Eventually(w.IsVerified("prod"))
	renewed := w.WriteClientCertificate("mtls", "operator")
	w.Eventually(func(context.Context) error {
		requests := w.Coder.Requests()
		if last := requests[len(requests)-1]; last.ClientCertSerial != renewed.Serial() {
			return fmt.Errorf("the last request came with certificate %s", last.ClientCertSerial)
		}
		return nil
	})
}

// B103: the CA bundle is what makes the server trusted; without it the reason is
// said.
func TestAnUntrustedServerIsSaid(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) { spec.TLS.CABundle = nil }))
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionVerified, metav1.ConditionFalse,
		v1alpha1.ReasonServerUntrusted, ""))
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) {
		d.Spec.TLS.CABundle = &v1alpha1.CABundleRef{Kind: "ConfigMap", Name: "ca"}
	})
	w.Eventually(w.IsVerified("prod"))
}

// B103: pods need the CA bundle for a server of an own authority, also if that demands no client
// certificate: the session that includes the certificates gets it, and lacks nothing.
func TestACABundleAloneReachesPods(t *testing.T) {
	w := newEnv(t)
	w.startOperator()
	w.Create(
		w.newDeployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) { spec.TLS.ClientCertificateSecretName = "" }),
		w.NewMintedSession("ci", "ci-bot", withClientCertificate),
	)
	w.Eventually(w.IsVerified("prod"), w.IsReady("ci"),
		w.SessionHasNo("ci", v1alpha1.ConditionSecretSynced))
	made := w.CurrentSecret("ci").Data
	if got, want := string(made["ca.crt"]), string(w.Servers.PEM()); got != want {
		t.Errorf("ca.crt of the generated Secret is\n%s\nwant\n%s", got, want)
	}
	for _, key := range []string{"tls.crt", "tls.key"} {
		if _, found := made[key]; found {
			t.Errorf("the generated Secret has %s", key)
		}
	}
}

// B100, B104: what the server says of the client certificate ends in a reason of
// its own.
func TestRefusedCertificatesHaveReasons(t *testing.T) {
	for name, c := range map[string]struct {
		certificate func(w *operatorEnv)
		alert       uint8
		reason      string
	}{
		"an unknown authority": {reason: v1alpha1.ReasonCertificateAuthorityUnknown, certificate: func(w *operatorEnv) {
			stranger, err := certs.NewAuthority("strangers", coderdClock{w.Coder})
			w.Must(err)
			wrong, err := stranger.Issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
			w.Must(err)
			w.WriteSecret("mtls", map[string]string{"tls.crt": string(wrong.CertPEM), "tls.key": string(wrong.KeyPEM)})
		}},
		"revoked":       {reason: v1alpha1.ReasonCertificateRejected, alert: 44},
		"access denied": {reason: v1alpha1.ReasonCertificateAccessDenied, alert: 49},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			if c.certificate != nil {
				c.certificate(w)
			}
			if c.alert != 0 {
				w.Coder.Inject(coderd.Fault{Kind: coderd.FaultTLSAlert, Alert: c.alert})
			}
			w.startOperator()
			w.Create(w.newDeployment("prod"))
			w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionVerified, metav1.ConditionFalse, c.reason, ""))
		})
	}
}
