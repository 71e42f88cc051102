// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"net/http"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

func TestRevoke(t *testing.T) { // B71, contract C.8
	t.Parallel()
	tests := map[string]struct {
		handler http.HandlerFunc
		revoked bool
		want    oauth.Kind
	}{
		"revoked":             {respondWith(200, ""), true, ""},
		"revoked, in JSON":    {respondWith(200, "{}"), true, ""},
		"the provider is off": {respondWith(404, `{"message":"Route not found."}`), false, ""},
		"a proxy's page":      {respondWith(200, "<html>"), false, oauth.Malformed},
		"a proxy's 404":       {respondWith(404, "<html>"), false, oauth.Malformed},
		"another client":      {respondWith(401, `{"error":"invalid_client"}`), false, oauth.InvalidClient},
		"no answer":           {dropConnection, false, oauth.Unavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			revoked, err := startProvider(t, tt.handler).Revoke(t.Context(), newMetadata(), newRegistration(),
				redact.New(oldRefresh))
			requireNoSecrets(t, err)
			if revoked != tt.revoked || oauth.KindOf(err) != tt.want {
				t.Errorf("got %v, %v", revoked, err)
			}
		})
	}
}

func TestNothingIsRevokedWithoutAnEndpoint(t *testing.T) { // B71, B92
	t.Parallel()
	md := newMetadata()
	md.RevocationEndpoint = ""
	silent := startProvider(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	if revoked, err := silent.Revoke(t.Context(), md, newRegistration(), redact.New(oldRefresh)); revoked || err != nil {
		t.Errorf("got %v, %v", revoked, err)
	}
}
