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
// refuse, cost one verification; nobody is suspended meanwhile.
func TestABurstOfWritesCostsOneVerification(t *testing.T) {
	w := newWorld(t, certificateIdentifies)
	w.startOperator()
	w.create(w.deployment("prod"), w.certificate("edge"), w.mint("ci", "ci-bot"))
	w.eventually(w.ready("edge"), w.ready("ci"))
	before, version := w.verifications(), w.nowSession("edge").ResourceVersion

	renewed, err := w.clients.Issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
	w.must(err)
	stranger, err := certs.NewAuthority("strangers", coderdClock{w.coder})
	w.must(err)
	for i := range 20 {
		other, err := stranger.Issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
		w.must(err)
		w.writeSecret("mtls", map[string]string{"tls.crt": string(renewed.CertPEM), "tls.key": string(other.KeyPEM)})
		w.writeSecret("edge-headers", map[string]string{"id": fmt.Sprintf("value-%d", i)})
		w.writeConfigMap("ca", map[string]string{"ca.crt": string(stranger.PEM())})
	}
	w.writeConfigMap("ca", map[string]string{"ca.crt": string(w.servers.PEM())})
	w.writeSecret("mtls", map[string]string{"tls.crt": string(renewed.CertPEM), "tls.key": string(renewed.KeyPEM)})

	w.eventually(func(context.Context) error {
		if got := w.verifications() - before; got != 1 {
			return fmt.Errorf("%d verifications, want 1", got)
		}
		return nil
	})
	w.throughout(time.Second, w.ready("edge"), w.ready("ci"), func(context.Context) error {
		if got := w.verifications() - before; got != 1 {
			return fmt.Errorf("%d verifications for one burst, want 1", got)
		}
		return nil
	})
	if got := w.nowSession("edge").Status; got.Suspension != nil {
		t.Errorf("suspended by settings that were changing (%s): %+v", version, got.Suspension)
	}
}

// coderdClock is the server's time.
type coderdClock struct{ server *coderd.Server }

func (c coderdClock) Now() time.Time                  { return c.server.Now() }
func (c coderdClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// B05: a writer that never pauses does not starve verification.
func TestAWriterThatNeverPausesIsVerifiedEveryMaxDelay(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.Verify.QuietPeriod, spec.Verify.MaxDelay = "1s", "1s"
	}))
	w.eventually(w.verified("prod"))
	before := w.verifications()
	n := 0
	w.eventually(func(context.Context) error {
		n++
		w.writeSecret("edge-headers", map[string]string{"id": fmt.Sprintf("value-%d", n)})
		if got := w.verifications() - before; got < 2 {
			return fmt.Errorf("%d verifications while a writer never pauses", got)
		}
		return nil
	})
}

// B06, B11: what changes while a verification runs leads to another one after it,
// and the result of the first is dropped.
func TestAnEventDuringAVerificationLeadsToAnother(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	gate := coderd.NewGate()
	remove := w.coder.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Path: "/api/v2/users/me", Times: 1})
	defer remove()
	defer gate.Release()
	w.create(w.deployment("prod"))
	<-gate.Entered()
	w.writeSecret("edge-headers", map[string]string{"id": "another"})
	w.throughout(500*time.Millisecond, func(ctx context.Context) error {
		if got := w.verifications(); got != 1 {
			return fmt.Errorf("%d verifications at once", got)
		}
		return nil
	})
	gate.Release()
	w.eventually(w.verified("prod"), func(context.Context) error {
		if got := w.verifications(); got != 2 {
			return fmt.Errorf("%d verifications, want one more after the one that was overtaken", got)
		}
		return nil
	})
}

// B11: a deployment whose URL was switched during a verification is judged by the
// new URL only.
func TestAResultForAnotherURLIsDropped(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	gate := coderd.NewGate()
	remove := w.coder.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Path: "/api/v2/users/me", Times: 1})
	defer remove()
	defer gate.Release()
	w.create(w.deployment("prod"))
	<-gate.Entered()
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.URL = "https://127.0.0.1:1" })
	gate.Release()
	w.eventually(w.deploymentIs("prod", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnreachable, ""))
	d, err := w.getDeployment(t.Context(), "prod")
	w.must(err)
	if d.Status.User != nil || d.Status.LastVerifiedTime != nil {
		t.Errorf("the answer of the old URL was believed: %+v", d.Status)
	}
}

// B07: what leaves the settings as they were costs no request and no write.
func TestWritesThatChangeNothingCostNothing(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"a value that comes back": func(w *world) {
			value := string(w.nowSecret("edge-headers").Data["id"])
			w.writeSecret("edge-headers", map[string]string{"id": "other"})
			w.writeSecret("edge-headers", map[string]string{"id": value})
		},
		"an annotation": func(w *world) {
			secret := w.nowSecret("mtls")
			w.write(secret, func() { secret.Annotations = map[string]string{"note": "changed"} })
		},
		"another key of the Secret": func(w *world) {
			secret := w.nowSecret("edge-headers")
			w.write(secret, func() { secret.Data["other"] = []byte("x") })
		},
		"an absent list that becomes empty": func(w *world) {
			w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = []v1alpha1.AccessRule{} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, mTLS)
			w.startOperator()
			w.create(w.deployment("prod"))
			w.eventually(w.verified("prod"))
			before, err := w.getDeployment(t.Context(), "prod")
			w.must(err)
			w.coder.ResetLog()
			change(w)
			w.throughout(time.Second, func(ctx context.Context) error {
				after, err := w.getDeployment(ctx, "prod")
				if err != nil {
					return err
				}
				if requests := w.coder.Requests(); len(requests) > 0 {
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
		broken func(w *world)
		reason string
		says   []string
	}{
		"missing Secret": {
			broken: func(w *world) { w.delete(w.nowSecret("token")) },
			reason: v1alpha1.ReasonReferenceMissing, says: []string{"token"},
		},
		"missing key": {
			broken: func(w *world) { w.writeSecret("edge-headers", map[string]string{"wrong": "x"}) },
			reason: v1alpha1.ReasonReferenceMissing, says: []string{"edge-headers", `"id"`},
		},
		"half a pair": {
			broken: func(w *world) {
				w.writeSecret("mtls", map[string]string{"tls.crt": string(w.nowSecret("mtls").Data["tls.crt"])})
			},
			reason: v1alpha1.ReasonReferenceMissing, says: []string{"mtls", "tls.key"},
		},
		"malformed PEM": {
			broken: func(w *world) { w.writeConfigMap("ca", map[string]string{"ca.crt": "no PEM"}) },
			reason: v1alpha1.ReasonReferenceInvalid, says: []string{"ca", "ca.crt"},
		},
		"certificate and key that do not match": {
			broken: func(w *world) {
				other, err := w.clients.Issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
				w.must(err)
				w.writeSecret("mtls", map[string]string{"tls.crt": string(w.nowSecret("mtls").Data["tls.crt"]), "tls.key": string(other.KeyPEM)})
			},
			reason: v1alpha1.ReasonReferenceInvalid, says: []string{"mtls", "tls.key"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, mTLS)
			c.broken(w)
			w.startOperator()
			w.create(w.deployment("prod"), w.mint("ci", "ci-bot"))
			for _, fragment := range c.says {
				w.eventually(w.deploymentIs("prod", v1alpha1.ConditionConfigResolved, metav1.ConditionFalse, c.reason, fragment))
			}
			w.eventually(w.notReady("ci", v1alpha1.ReasonAwaitingDeployment, c.says[0]))
			if requests := w.coder.Requests(); len(requests) > 0 {
				t.Errorf("a request was sent: %+v", requests[0])
			}
		})
	}
}

// B14: a deployment may be created before its Secrets.
func TestADeploymentWaitsForItsSecrets(t *testing.T) {
	w := newWorld(t, mTLS)
	pair, token := w.nowSecret("mtls").Data, w.nowSecret("token").Data
	w.delete(w.nowSecret("mtls"))
	w.delete(w.nowSecret("token"))
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot"))
	w.eventually(w.deploymentIs("prod", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonConfigInvalid, "mtls"))
	w.writeSecret("token", map[string]string{"token": string(token["token"])})
	w.writeSecret("mtls", map[string]string{"tls.crt": string(pair["tls.crt"]), "tls.key": string(pair["tls.key"])})
	w.eventually(w.verified("prod"), w.ready("ci"))
}

// B13: a deployment that its certificate identifies needs no token.
func TestACertificateIdentifiesTheOperatorWithoutAToken(t *testing.T) {
	w := newWorld(t, certificateIdentifies)
	w.startOperator()
	w.create(
		w.deployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) { spec.Token = nil }),
		w.certificate("edge", func(spec *v1alpha1.CoderSessionSpec) {
			spec.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true}
		}),
	)
	w.eventually(w.verified("prod"), w.ready("edge"))
	d, err := w.getDeployment(t.Context(), "prod")
	w.must(err)
	if d.Status.User == nil || d.Status.User.Username != "operator" {
		t.Errorf("the operator is known as %+v", d.Status.User)
	}
	secret := w.nowSecret("edge")
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
	w := newWorld(t, mTLS)
	w.writeSecret("mine", map[string]string{"token": w.userToken("ada")})
	w.startOperator()
	w.create(w.deployment("prod"))
	w.eventually(w.verified("prod"))
	w.coder.ResetLog()
	w.create(w.supplied("ci", "mine", func(spec *v1alpha1.CoderSessionSpec) { spec.Paused = true }))
	w.eventually(w.notReady("ci", v1alpha1.ReasonPaused, ""))
	w.throughout(500*time.Millisecond, func(context.Context) error {
		if requests := w.coder.Requests(); len(requests) > 0 {
			return fmt.Errorf("a request was sent: %+v", requests[0])
		}
		return nil
	})
	w.changeSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Paused = false })
	w.eventually(w.ready("ci"))
	if got := w.coder.Count("GET", "/api/v2/users/{user}"); got != 1 {
		t.Errorf("resuming took %d verifications, want 1", got)
	}
}
