// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Keys of the Secret that spec.oauth.clientSecretName names.
const (
	keyClientID     = "client_id"
	keyClientSecret = "client_secret"
)

// OAuthClient is the client that all OAuth sessions of a deployment share.
type OAuthClient struct {
	// ID is public.
	ID string
	// Secret is never empty.
	Secret redact.Secret
}

// wantedOAuth lists the values that the OAuth client needs.
func wantedOAuth(d *v1alpha1.CoderDeployment) []want {
	if d.Spec.OAuth == nil || d.Spec.OAuth.ClientSecretName == "" {
		return nil
	}
	ref := secretReference(d, d.Spec.OAuth.ClientSecretName)
	return []want{{ref, keyClientID}, {ref, keyClientSecret}}
}

// oauthClient returns the deployment's client. Nil: it has none, or there is a fault.
func (r *resolution) oauthClient() *OAuthClient {
	wanted := wantedOAuth(r.deployment)
	values := make([]string, len(wanted))
	for i, w := range wanted {
		raw, ok := r.readValue(w)
		if !ok {
			return nil
		}
		values[i] = strings.TrimSpace(string(raw))
		if values[i] == "" || hasControl(values[i]) {
			r.faults.add(invalidValue(w, problem{text: "is empty, or holds more than one line: write the value alone"}))
			return nil
		}
	}
	if len(values) == 0 {
		return nil
	}
	return &OAuthClient{ID: values[0], Secret: redact.New(values[1])}
}
