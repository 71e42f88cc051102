// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B24: an edited Secret is put right from what is known to be good, a deleted one
// by a new token.
func TestATouchedSecretIsRestored(t *testing.T) {
	for name, c := range map[string]struct {
		touch func(w *operatorEnv, secret *corev1.Secret)
		mints int // that the restoration costs
	}{
		"a key edited": {touch: func(w *operatorEnv,
			s *corev1.Secret) {
			s.Data["url"] = []byte("https://evil.example")
		}},
		"a key removed":         {touch: func(w *operatorEnv, s *corev1.Secret) { delete(s.Data, "CODER_URL") }},
		"a key added":           {touch: func(w *operatorEnv, s *corev1.Secret) { s.Data["extra"] = []byte("x") }},
		"one copy of the token": {touch: func(w *operatorEnv, s *corev1.Secret) { s.Data["session"] = []byte("garbage") }},
		"a label of ours":       {touch: func(w *operatorEnv, s *corev1.Secret) { delete(s.Labels, v1alpha1.LabelSession) }},
		"both copies of the token": {mints: 1, touch: func(w *operatorEnv, s *corev1.Secret) {
			s.Data["session"], s.Data["CODER_SESSION_TOKEN"] = []byte("garbage"), []byte("garbage")
		}},
		"a corrupt annotation (B25)": {touch: func(w *operatorEnv, s *corev1.Secret) {
			s.Annotations[v1alpha1.AnnotationSerial] = "many"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			w.startOperator()
			w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
				overlap := v1alpha1.Duration("1s")
				spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
			}))
			w.Eventually(w.IsReady("ci"))
			good, mints := w.CurrentSecret("ci"), w.CountMints()
			touched := good.DeepCopy()
			c.touch(w, touched)
			w.Must(w.Client.Update(t.Context(), touched))
			w.Eventually(w.IsReady("ci"), func(ctx context.Context) error {
				now, err := w.GetSecret(ctx, "ci")
				if err != nil {
					return err
				}
				if now.ResourceVersion == touched.ResourceVersion {
					return fmt.Errorf("not restored yet")
				}
				if c.mints == 0 {
					if diff := cmp.Diff(good.Data, now.Data); diff != "" || now.Labels[v1alpha1.LabelSession] != "ci" {
						return fmt.Errorf("restored differently: %s", diff)
					}
				}
				return nil
			}, w.hasLiveTokens(1))
			if got := w.CountMints() - mints; got != c.mints {
				t.Errorf("%d tokens were minted, want %d", got, c.mints)
			}
		})
	}
}

func TestADeletedSecretIsMintedAnew(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
		overlap := v1alpha1.Duration("1s")
		spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
	}))
	w.Eventually(w.IsReady("ci"))
	w.Delete(w.CurrentSecret("ci"))
	w.Eventually(w.hasSerial("ci", 2), w.IsReady("ci"), w.hasLiveTokens(1))
}

// B23: a foreign Secret is never written; when it goes, the session returns by
// itself.
func TestAForeignSecretIsLeftAlone(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.WriteSecret("ci", map[string]string{"password": "theirs"})
	theirs := w.CurrentSecret("ci")
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonSecretConflict, `"ci"`), w.hasLiveTokens(0))
	if got := w.CurrentSecret("ci"); got.ResourceVersion != theirs.ResourceVersion {
		t.Error("the foreign Secret was written")
	}
	w.Delete(theirs)
	w.Eventually(w.IsReady("ci"), w.hasLiveTokens(1))
}

// B22: url and token of the Secret always belong together, also when the
// deployment moves to another server.
func TestNoReaderSeesHalfOfAChange(t *testing.T) {
	w := newEnv(t, withMTLS)
	other := newServerOf(w)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	matches := func(ctx context.Context) error {
		secret, err := w.GetSecret(ctx, "ci")
		if err != nil {
			return err
		}
		url, token := string(secret.Data["url"]), string(secret.Data["session"])
		if url != string(secret.Data["CODER_URL"]) || token != string(secret.Data["CODER_SESSION_TOKEN"]) {
			return fmt.Errorf("half of a change is visible")
		}
		if url == other.listener.URL() && !other.coder.AcceptsToken(token) {
			return fmt.Errorf("the new URL stands with a token of the old server")
		}
		return nil
	}
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) {
		d.Spec.URL = other.listener.URL()
		d.Spec.Token.SecretRef.Name = "token-of-other"
	})
	w.Eventually(func(ctx context.Context) error {
		if err := matches(ctx); err != nil {
			t.Fatal(err)
		}
		secret, err := w.GetSecret(ctx, "ci")
		if err == nil && string(secret.Data["url"]) != other.listener.URL() {
			return fmt.Errorf("not moved yet")
		}
		return err
	})
}

// All keys, templates, labels and annotations of the design are there.
func TestTheSecretHasEverythingThatTheSpecAsksFor(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
		spec.Secret = &v1alpha1.GeneratedSecret{
			Name: "elsewhere", IncludeClientCertificate: true,
			Labels: map[string]v1alpha1.LabelValue{"team": "a"}, Annotations: map[string]string{"note": "n"},
			Template: map[string]string{".netrc": "machine {{ .Host }} login coder password {{ .Token }}"},
		}
	}))
	w.Eventually(w.IsReady("ci"))
	secret := w.CurrentSecret("elsewhere")
	token := string(secret.Data["session"])
	want := map[string]string{
		"url": w.listener.URL(), "CODER_URL": w.listener.URL(), "session": token, "CODER_SESSION_TOKEN": token,
		"headers": "X-Edge-Id=" + string(w.CurrentSecret("edge-headers").Data["id"]) + "\nX-Plain=plain\n",
		"tls.crt": string(w.CurrentSecret("mtls").Data["tls.crt"]),
		"tls.key": string(w.CurrentSecret("mtls").Data["tls.key"]),
		"ca.crt":  string(w.Servers.PEM()), ".netrc": "machine 127.0.0.1 login coder password " + token,
	}
	got := map[string]string{}
	for key, value := range secret.Data {
		got[key] = string(value)
	}
	got[".netrc"] = hostWithoutPort(got[".netrc"])
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if secret.Labels["team"] != "a" || secret.Labels[v1alpha1.LabelSession] != "ci" || secret.Annotations["note"] != "n" {
		t.Errorf("labels %v, annotations %v", secret.Labels, secret.Annotations)
	}
	if !metav1.IsControlledBy(secret, w.CurrentSession("ci")) {
		t.Error("the Secret is not owned by the session")
	}
	for _, key := range []string{v1alpha1.AnnotationSerial, v1alpha1.AnnotationTokenID, v1alpha1.AnnotationExpiresAt} {
		if secret.Annotations[key] == "" {
			t.Errorf("annotation %s is missing", key)
		}
	}
}

// A template that cannot be rendered is said before anything is minted.
func TestABadTemplateMintsNothing(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
		spec.Secret = &v1alpha1.GeneratedSecret{Template: map[string]string{"broken": "{{ .Nothing }}"}}
	}))
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonConfigInvalid, "broken"), w.hasLiveTokens(0))
	if got := w.CountMints(); got != 0 {
		t.Errorf("%d tokens were minted", got)
	}
}

// B26: an empty supplied token is valid where the connection identifies the
// caller; a missing one is not.
func TestAnEmptyTokenIsValidAndAMissingOneIsNot(t *testing.T) {
	w := newEnv(t, certificateIdentifies)
	w.WriteSecret("empty", map[string]string{"token": ""})
	w.WriteSecret("other-key", map[string]string{"wrong": "x"})
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewSuppliedSession("a", "empty"), w.NewSuppliedSession("b", "other-key"),
		w.NewSuppliedSession("c", "absent"))
	w.Eventually(w.IsReady("a"),
		w.IsNotReady("b", v1alpha1.ReasonConfigInvalid, `"other-key" has no key "token"`),
		w.IsNotReady("c", v1alpha1.ReasonConfigInvalid, `"absent" does not exist`))
	if _, found := w.CurrentSecret("a").Data["session"]; found {
		t.Error("an empty token is published as a token")
	}
	w.WriteSecret("absent", map[string]string{"token": w.userToken("ada")})
	w.Eventually(w.IsReady("c"))
}

// B45: a user who may write the Secret cannot have the operator revoke another
// user's token by naming it there.
func TestAForgedTokenIDRevokesNothing(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"), w.NewMintedSession("other", "ci-bot"))
	w.Eventually(w.IsReady("ci"), w.IsReady("other"))
	victims := map[string]string{"a person's": w.userToken("ada"),
		"another session's": string(w.CurrentSecret("other").Data["session"])}
	for what, victim := range victims {
		secret := w.CurrentSecret("ci")
		w.Write(secret, func() {
			secret.Annotations[v1alpha1.AnnotationTokenID] = victim[:10]
			secret.Data["session"], secret.Data["CODER_SESSION_TOKEN"] = []byte(victim), []byte(victim)
		})
		w.Eventually(w.IsReady("ci"), func(ctx context.Context) error {
			now, err := w.GetSecret(ctx, "ci")
			if err == nil && now.Annotations[v1alpha1.AnnotationTokenID] == victim[:10] {
				return fmt.Errorf("%s token still stands there", what)
			}
			return err
		})
	}
	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.noSession("ci"), w.hasLiveTokens(1))
	for what, victim := range victims {
		if !w.Coder.AcceptsToken(victim) {
			t.Errorf("%s token was revoked", what)
		}
	}
}
