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
		"revoked":             {answer(200, ""), true, ""},
		"revoked, in JSON":    {answer(200, "{}"), true, ""},
		"the provider is off": {answer(404, `{"message":"Route not found."}`), false, ""},
		"a proxy's page":      {answer(200, "<html>"), false, oauth.Malformed},
		"a proxy's 404":       {answer(404, "<html>"), false, oauth.Malformed},
		"another client":      {answer(401, `{"error":"invalid_client"}`), false, oauth.InvalidClient},
		"no answer":           {drop, false, oauth.Unavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			revoked, err := serve(t, tt.handler).Revoke(t.Context(), metadata(), registration(), redact.New(oldRefresh))
			secretless(t, err)
			if revoked != tt.revoked || oauth.KindOf(err) != tt.want {
				t.Errorf("got %v, %v", revoked, err)
			}
		})
	}
}

func TestNothingIsRevokedWithoutAnEndpoint(t *testing.T) { // B71, B92
	t.Parallel()
	md := metadata()
	md.RevocationEndpoint = ""
	silent := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	if revoked, err := silent.Revoke(t.Context(), md, registration(), redact.New(oldRefresh)); revoked || err != nil {
		t.Errorf("got %v, %v", revoked, err)
	}
}
