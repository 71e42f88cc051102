// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

func TestRenderLaysOutTheKeys(t *testing.T) {
	t.Parallel()
	base := map[string]string{"url": "https://coder.example.com:8443", "CODER_URL": "https://coder.example.com:8443"}
	token := map[string]string{"session": tokenValue, "CODER_SESSION_TOKEN": tokenValue}
	tests := map[string]struct {
		change func(*Input)
		want   []map[string]string
	}{
		"a token": {func(*Input) {}, []map[string]string{base, token}},
		"no token": { // B26
			func(in *Input) { in.Token = Token{} }, []map[string]string{base},
		},
		"an empty token": { // B26
			func(in *Input) { in.Token = Token{Value: redact.New("")} }, []map[string]string{base},
		},
		"headers": {
			func(in *Input) {
				in.Headers = []Header{{"X-A", redact.New("1=2")}, {"X-B", redact.New("")}}
			},
			[]map[string]string{base, token, {"headers": "X-A=1=2\nX-B=\n"}},
		},
		"certificate, key and authority": {
			func(in *Input) {
				in.Certificate, in.CA, in.CertificateKey = []byte("c"), []byte("a"), redact.New("k")
			},
			[]map[string]string{base, token, {"tls.crt": "c", "tls.key": "k", "ca.crt": "a"}},
		},
		"templates": {
			func(in *Input) { in.Session = newSession(withTemplate(".netrc", "machine {{.Host}}")) },
			[]map[string]string{base, token, {".netrc": "machine coder.example.com"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newInput(newSession())
			test.change(&in)
			got, err := Render(testKey(t), in)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for _, part := range test.want {
				for key, value := range part {
					want[key] = value
				}
			}
			data := map[string]string{}
			for key, value := range got.Data {
				data[key] = string(value)
			}
			if diff := cmp.Diff(want, data); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRenderMetadata(t *testing.T) {
	t.Parallel()
	in := newInput(newSession(withSecret(v1alpha1.GeneratedSecret{
		Name:        "ci-coder",
		Labels:      map[string]v1alpha1.LabelValue{"team": "a", v1alpha1.LabelSession: "another"},
		Annotations: map[string]string{"note": "x", v1alpha1.AnnotationTokenID: "forged"},
	})))
	in.Token.ExpiresAt = expires.In(time.FixedZone("", 3600))
	got, err := Render(testKey(t), in)
	if err != nil {
		t.Fatal(err)
	}
	want := metav1.ObjectMeta{
		Namespace: "builds", Name: "ci-coder",
		Labels: map[string]string{"team": "a", "credentials.coder.com/session": "ci"},
		Annotations: map[string]string{
			"note":                                    "x",
			"credentials.coder.com/token-id":          tokenID,
			"credentials.coder.com/serial":            "3",
			"credentials.coder.com/expires-at":        "2030-01-02T03:04:05Z",
			"credentials.coder.com/request":           "digest",
			"credentials.coder.com/fingerprint":       Fingerprint(testKey(t), in),
			"credentials.coder.com/credential":        Credential(testKey(t), in),
			"credentials.coder.com/token-fingerprint": MintedFingerprint(testKey(t), in.Session.UID, in.Token.Value),
			"credentials.coder.com/managed": `{"labels":["credentials.coder.com/session","team"],` +
				`"annotations":["credentials.coder.com/token-id","note"]}`,
		},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "credentials.coder.com/v1alpha1", Kind: "CoderSession", Name: "ci", UID: in.Session.UID,
			Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
		}},
	}
	if diff := cmp.Diff(want, got.ObjectMeta); diff != "" {
		t.Error(diff)
	}
	if got.Type != corev1.SecretTypeOpaque {
		t.Errorf("type %q", got.Type)
	}
}

func TestRenderRefusesWhatWouldBeBroken(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*Input){
		"a token without its value": func(in *Input) { in.Token.Value = redact.Secret{} },
		"a line break in a value": func(in *Input) {
			in.Headers = []Header{{"X-A", redact.New("sentinel\nX-B=1")}}
		},
		"an equals sign in a name": func(in *Input) { in.Headers = []Header{{"X=A", redact.New("sentinel")}} },
		"no name":                  func(in *Input) { in.Headers = []Header{{"", redact.New("sentinel")}} },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newInput(newSession())
			change(&in)
			_, err := Render(testKey(t), in)
			if err == nil {
				t.Error("it was rendered")
			}
			mustNotLeak(t, err) // B90
		})
	}
}

// Different inputs have different fingerprints, and the same input has the same fingerprint with
// and without the token's value. B07
func TestFingerprint(t *testing.T) {
	t.Parallel()
	spec := func(s v1alpha1.GeneratedSecret) func(*Input) {
		return func(in *Input) { in.Session = newSession(withSecret(s)) }
	}
	changes := map[string]func(*Input){
		"nothing":     func(*Input) {},
		"url":         func(in *Input) { in.URL = &url.URL{Scheme: "https", Host: "other.example.com"} },
		"header":      func(in *Input) { in.Headers = []Header{{"X-Edge", redact.New("other")}} },
		"no headers":  func(in *Input) { in.Headers = nil },
		"certificate": func(in *Input) { in.Certificate = nil },
		"authority":   func(in *Input) { in.CA = nil },
		"key":         func(in *Input) { in.CertificateKey = redact.New("other") },
		"user":        func(in *Input) { in.User = "bob" },
		"id":          func(in *Input) { in.Token.ID = "other" },
		"serial":      func(in *Input) { in.Token.Serial++ },
		"expiry":      func(in *Input) { in.Token.ExpiresAt = expires.Add(time.Second) },
		"request":     func(in *Input) { in.Token.Request = "other" },
		"session":     func(in *Input) { in.Session = newSession(func(s *v1alpha1.CoderSession) { s.UID = "other" }) },
		"label":       spec(v1alpha1.GeneratedSecret{Labels: map[string]v1alpha1.LabelValue{"a": "b"}}),
		"annotation":  spec(v1alpha1.GeneratedSecret{Annotations: map[string]string{"a": "b"}}),
		"template":    spec(v1alpha1.GeneratedSecret{Template: map[string]string{"a": "b"}}),
	}
	seen := map[string]string{}
	for name, change := range changes {
		in := completeInput(newSession())
		change(&in)
		sum := Fingerprint(testKey(t), in)
		if other, found := seen[sum]; found {
			t.Errorf("%s and %s have the same fingerprint", name, other)
		}
		seen[sum] = name

		in.Token.Value = redact.Secret{}
		in.Token.ExpiresAt = in.Token.ExpiresAt.Add(time.Millisecond).In(time.FixedZone("", 3600))
		in.URL = &url.URL{Scheme: in.URL.Scheme, Host: in.URL.Host}
		if Fingerprint(testKey(t), in) != sum {
			t.Errorf("%s: changed by something that is not written", name)
		}
		if strings.Contains(sum, "sentinel") {
			t.Errorf("%s: it contains a value", name)
		}
	}
}
