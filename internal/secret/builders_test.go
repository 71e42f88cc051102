// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

const (
	tokenID    = "a1B2c3D4e5"
	tokenValue = tokenID + "-sentinelsentinelsenti1"
	headerText = "sentinel-of-a-header"
	keyText    = "sentinel-of-a-private-key"
)

// sentinels must not appear in any error.
var sentinels = []string{tokenValue, "sentinel", "c2VudGluZW"}

var expires = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func testKey(tb testing.TB) fingerprint.Key {
	tb.Helper()
	key, err := fingerprint.NewKey([]byte(strings.Repeat("k", fingerprint.KeySize)))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// newSession is one named ci in namespace builds.
func newSession(options ...func(*v1alpha1.CoderSession)) *v1alpha1.CoderSession {
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{
		Namespace: "builds", Name: "ci", UID: types.UID("11111111-0000-4000-8000-000000000001"),
	}}
	for _, option := range options {
		option(s)
	}
	return s
}

func withSecret(spec v1alpha1.GeneratedSecret) func(*v1alpha1.CoderSession) {
	return func(s *v1alpha1.CoderSession) { s.Spec.Secret = &spec }
}

func withTemplate(key, text string) func(*v1alpha1.CoderSession) {
	return withSecret(v1alpha1.GeneratedSecret{Template: map[string]string{key: text}})
}

// newInput is a minted token for https://coder.example.com:8443.
func newInput(s *v1alpha1.CoderSession) Input {
	return Input{
		Session: s,
		URL:     &url.URL{Scheme: "https", Host: "coder.example.com:8443", Path: "/"},
		User:    "ada",
		Token: Token{
			Value: redact.New(tokenValue), ID: tokenID, Serial: 3, ExpiresAt: expires, Request: "digest",
		},
	}
}

// completeInput is an input with all fields set.
func completeInput(s *v1alpha1.CoderSession) Input {
	in := newInput(s)
	in.Headers = []Header{{Name: "X-Edge", Value: redact.New(headerText)}, {Name: "X-Empty", Value: redact.New("")}}
	in.Certificate, in.CA, in.CertificateKey = []byte("cert"), []byte("ca"), redact.New(keyText)
	return in
}

func metaOf(object *metav1.ObjectMeta) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: *object.DeepCopy()}
}

func mustNotLeak(tb testing.TB, err error) {
	tb.Helper()
	for _, sentinel := range sentinels {
		if err != nil && strings.Contains(err.Error(), sentinel) {
			tb.Errorf("the error holds a value: %v", err)
		}
	}
}
