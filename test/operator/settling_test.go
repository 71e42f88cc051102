// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// B04, B08: 60 writes, most of them leaving settings that the server would
// refuse, cost one verification; no session is suspended meanwhile.
func TestABurstOfWritesCostsOneVerification(t *testing.T) {
	w := newEnv(t, certificateIdentifies)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewCertificateSession("edge"), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("edge"), w.IsReady("ci"))
	before, version := w.countVerifications(), w.CurrentSession("edge").ResourceVersion

	renewed, err := w.Clients.Issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
	w.Must(err)
	stranger, err := certs.NewAuthority("strangers", coderdClock{w.Coder})
	w.Must(err)
	for i := range 20 {
		other, err := stranger.Issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
		w.Must(err)
		w.WriteSecret("mtls", map[string]string{"tls.crt": string(renewed.CertPEM), "tls.key": string(other.KeyPEM)})
		w.WriteSecret("edge-headers", map[string]string{"id": fmt.Sprintf("value-%d", i)})
		w.WriteConfigMap("ca", map[string]string{"ca.crt": string(stranger.PEM())})
	}
	w.WriteConfigMap("ca", map[string]string{"ca.crt": string(w.Servers.PEM())})
	w.WriteSecret("mtls", map[string]string{"tls.crt": string(renewed.CertPEM), "tls.key": string(renewed.KeyPEM)})

	w.Eventually(func(context.Context) error {
		if got := w.countVerifications() - before; got != 1 {
			return fmt.Errorf("%d verifications, want 1", got)
		}
		return nil
	})
	w.Throughout(time.Second, w.IsReady("edge"), w.IsReady("ci"), func(context.Context) error {
		if got := w.countVerifications() - before; got != 1 {
			return fmt.Errorf("%d verifications for one burst, want 1", got)
		}
		return nil
	})
	if got := w.CurrentSession("edge").Status; got.Suspension != nil {
		t.Errorf("suspended by settings that were changing (%s): %+v", version, got.Suspension)
	}
}

// coderdClock is the server's time.
type coderdClock struct{ server *coderd.Server }

func (c coderdClock) Now() time.Time                  { return c.server.Now() }
func (c coderdClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// B05: a writer that never pauses does not starve verification.
func TestAWriterThatNeverPausesIsVerifiedEveryMaxDelay(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.Verify.QuietPeriod, spec.Verify.MaxDelay = "1s", "1s"
	}))
	w.Eventually(w.IsVerified("prod"))
	before := w.countVerifications()
	n := 0
	w.Eventually(func(context.Context) error {
		n++
		w.WriteSecret("edge-headers", map[string]string{"id": fmt.Sprintf("value-%d", n)})
		if got := w.countVerifications() - before; got < 2 {
			return fmt.Errorf("%d verifications while a writer never pauses", got)
		}
		return nil
	})
}

// B06, B11: what changes while a verification runs leads to another one after it,
// and the result of the first is dropped.
func TestAnEventDuringAVerificationLeadsToAnother(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	gate := coderd.NewGate()
	remove := w.Coder.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Path: "/api/v2/users/me", Times: 1})
	defer remove()
	defer gate.Release()
	w.Create(w.newDeployment("prod"))
	<-gate.Entered()
	w.WriteSecret("edge-headers", map[string]string{"id": "another"})
	w.Throughout(500*time.Millisecond, func(ctx context.Context) error {
		if got := w.countVerifications(); got != 1 {
			return fmt.Errorf("%d verifications at once", got)
		}
		return nil
	})
	gate.Release()
	w.Eventually(w.IsVerified("prod"), func(context.Context) error {
		if got := w.countVerifications(); got != 2 {
			return fmt.Errorf("%d verifications, want one more after the one that was overtaken", got)
		}
		return nil
	})
}

// B11: a deployment whose URL was switched during a verification is judged by the
// new URL only.
func TestAResultForAnotherURLIsDropped(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	gate := coderd.NewGate()
	remove := w.Coder.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Path: "/api/v2/users/me", Times: 1})
	defer remove()
	defer gate.Release()
	w.Create(w.newDeployment("prod"))
	<-gate.Entered()
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.URL = "https://127.0.0.1:1" })
	gate.Release()
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnreachable, ""))
	d, err := w.GetDeployment(t.Context(), "prod")
	w.Must(err)
	if d.Status.User != nil || d.Status.LastVerifiedTime != nil {
		t.Errorf("the answer of the old URL was believed: %+v", d.Status)
	}
}

// B07: what leaves the settings as they were costs no request and no write.
func TestWritesThatChangeNothingCostNothing(t *testing.T) {
	for name, change := range map[string]func(w *operatorEnv){
		"a value that comes back": func(w *operatorEnv) {
			value := string(w.CurrentSecret("edge-headers").Data["id"])
			w.WriteSecret("edge-headers", map[string]string{"id": "other"})
			w.WriteSecret("edge-headers", map[string]string{"id": value})
		},
		"an annotation": func(w *operatorEnv) {
			secret := w.CurrentSecret("mtls")
			w.Write(secret, func() { secret.Annotations = map[string]string{"note": "changed"} })
		},
		"another key of the Secret": func(w *operatorEnv) {
			secret := w.CurrentSecret("edge-headers")
			w.Write(secret, func() { secret.Data["other"] = []byte("x") })
		},
		"an absent list that becomes empty": func(w *operatorEnv) {
			w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = []v1alpha1.AccessRule{} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			w.startOperator()
			w.Create(w.newDeployment("prod"))
			w.Eventually(w.IsVerified("prod"))
			before, err := w.GetDeployment(t.Context(), "prod")
			w.Must(err)
			w.Coder.ResetLog()
			change(w)
			w.Throughout(time.Second, func(ctx context.Context) error {
				after, err := w.GetDeployment(ctx, "prod")
				if err != nil {
					return err
				}
				if requests := w.Coder.Requests(); len(requests) > 0 {
					return fmt.Errorf("a request was sent: %+v", requests[0])
				}
				if diff := cmp.Diff(before.Status, after.Status); diff != "" {
					return fmt.Errorf("the status was written: %s", diff)
				}
				return nil
			})
		})
	}
}

// B12: broken references name object and key, and nothing is sent.
func TestBrokenReferencesAreNamedAndNothingIsSent(t *testing.T) {
	for name, c := range map[string]struct {
		broken func(w *operatorEnv)
		reason string
		says   []string
	}{
		"missing Secret": {
			broken: func(w *operatorEnv) { w.Delete(w.CurrentSecret("token")) },
			reason: v1alpha1.ReasonReferenceMissing, says: []string{"token"},
		},
		"missing key": {
			broken: func(w *operatorEnv) { w.WriteSecret("edge-headers", map[string]string{"wrong": "x"}) },
			reason: v1alpha1.ReasonReferenceMissing, says: []string{"edge-headers", `"id"`},
		},
		"half a pair": {
			broken: func(w *operatorEnv) {
				w.WriteSecret("mtls", map[string]string{"tls.crt": string(w.CurrentSecret("mtls").Data["tls.crt"])})
			},
			reason: v1alpha1.ReasonReferenceMissing, says: []string{"mtls", "tls.key"},
		},
		"malformed PEM": {
			broken: func(w *operatorEnv) { w.WriteConfigMap("ca", map[string]string{"ca.crt": "no PEM"}) },
			reason: v1alpha1.ReasonReferenceInvalid, says: []string{"ca", "ca.crt"},
		},
		"certificate and key that do not match": {
			broken: func(w *operatorEnv) {
				other, err := w.Clients.Issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
				w.Must(err)
				w.WriteSecret("mtls", map[string]string{"tls.crt": string(w.CurrentSecret("mtls").Data["tls.crt"]),
					"tls.key": string(other.KeyPEM)})
			},
			reason: v1alpha1.ReasonReferenceInvalid, says: []string{"mtls", "tls.key"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			c.broken(w)
			w.startOperator()
			w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
			for _, fragment := range c.says {
				w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionConfigResolved, metav1.ConditionFalse, c.reason, fragment))
			}
			w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonAwaitingDeployment, c.says[0]))
			if requests := w.Coder.Requests(); len(requests) > 0 {
				t.Errorf("a request was sent: %+v", requests[0])
			}
		})
	}
}

// B14: a deployment may be created before its Secrets.
func TestADeploymentWaitsForItsSecrets(t *testing.T) {
	w := newEnv(t, withMTLS)
	pair, token := w.CurrentSecret("mtls").Data, w.CurrentSecret("token").Data
	w.Delete(w.CurrentSecret("mtls"))
	w.Delete(w.CurrentSecret("token"))
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonConfigInvalid,
		"mtls"))
	w.WriteSecret("token", map[string]string{"token": string(token["token"])})
	w.WriteSecret("mtls", map[string]string{"tls.crt": string(pair["tls.crt"]), "tls.key": string(pair["tls.key"])})
	w.Eventually(w.IsVerified("prod"), w.IsReady("ci"))
}

// B13: a deployment that its certificate identifies needs no token.
func TestACertificateIdentifiesTheOperatorWithoutAToken(t *testing.T) {
	w := newEnv(t, certificateIdentifies)
	w.startOperator()
	w.Create(
		w.newDeployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) { spec.Token = nil }),
		w.NewCertificateSession("edge", func(spec *v1alpha1.CoderSessionSpec) {
			spec.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true}
		}),
	)
	w.Eventually(w.IsVerified("prod"), w.IsReady("edge"))
	d, err := w.GetDeployment(t.Context(), "prod")
	w.Must(err)
	if d.Status.User == nil || d.Status.User.Username != "operator" {
		t.Errorf("the operator is known as %+v", d.Status.User)
	}
	secret := w.CurrentSecret("edge")
	if _, found := secret.Data["session"]; found {
		t.Error("a session without a token has a key session")
	}
	for _, key := range []string{"tls.crt", "tls.key", "ca.crt", "url", "headers"} {
		if len(secret.Data[key]) == 0 {
			t.Errorf("key %s is missing", key)
		}
	}
}

// B15: a paused session asks nothing; resuming needs no more than one question.
func TestAPausedSessionAsksNothing(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.WriteSecret("mine", map[string]string{"token": w.userToken("ada")})
	w.startOperator()
	w.Create(w.newDeployment("prod"))
	w.Eventually(w.IsVerified("prod"))
	w.Coder.ResetLog()
	w.Create(w.NewSuppliedSession("ci", "mine", func(spec *v1alpha1.CoderSessionSpec) { spec.Paused = true }))
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonPaused, ""))
	w.Throughout(500*time.Millisecond, func(context.Context) error {
		if requests := w.Coder.Requests(); len(requests) > 0 {
			return fmt.Errorf("a request was sent: %+v", requests[0])
		}
		return nil
	})
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Paused = false })
	w.Eventually(w.IsReady("ci"))
	if got := w.Coder.Count("GET", "/api/v2/users/{user}"); got != 1 {
		t.Errorf("resuming took %d verifications, want 1", got)
	}
}
