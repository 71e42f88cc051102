// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// keysOfMinted are those of Secret ci: for the CLI's config directory, for envFrom,
// for a server behind an edge, and the template of the sample.
var keysOfMinted = []string{
	".netrc", "CODER_SESSION_TOKEN", "CODER_URL", "ca.crt", "headers", "session", "tls.crt", "tls.key", "url",
}

func (d *demo) showSecret(ctx context.Context) error {
	if err := d.kubectl.Show(ctx, "describe", "secret", mintedSession, "-n", namespace); err != nil {
		return err
	}
	secret, err := d.getSecret(ctx, mintedSession)
	if err != nil {
		return err
	}
	if keys := slices.Sorted(maps.Keys(secret.Data)); !slices.Equal(keys, keysOfMinted) {
		return &walk.UnexpectedError{Expected: "the keys " + strings.Join(keysOfMinted, ", "), Seen: strings.Join(keys, ", ")}
	}
	token := string(secret.Data["session"])
	id := secret.Annotations[v1alpha1.AnnotationTokenID]
	if !strings.HasPrefix(token, id+"-") || secret.Annotations[v1alpha1.AnnotationSerial] != "1" {
		return &walk.UnexpectedError{
			Expected: "the annotations tell the id and the serial of the token", Seen: fmt.Sprint(secret.Annotations),
		}
	}
	keys, err := d.coder.Minted(ctx)
	if err != nil {
		return err
	}
	if len(keys) != 1 || keys[0].ID != id || keys[0].Username != machineUser {
		return &walk.UnexpectedError{
			Expected: fmt.Sprintf("one minted token on the server: %s, of %s", id, machineUser), Seen: fmt.Sprintf("%+v", keys),
		}
	}
	d.term.Seen("all %d keys; on the server it is token %s of %s, scopes %s", len(secret.Data), keys[0].Name, machineUser,
		strings.Join(keys[0].Scopes, ", "))
	return nil
}

func (d *demo) showRequests(ctx context.Context) error {
	for _, c := range []struct {
		secret, path, route, caller string
		credential                  string
	}{
		{
			mintedSession, "/api/v2/deployment/ssh", "/api/v2/deployment/ssh", machineUser, "CA, certificate, headers and token",
		},
		{
			certificateSession, "/api/v2/users/me", "/api/v2/users/{user}", operatorUser,
			"CA, certificate and headers, no token",
		},
	} {
		secret, err := d.getSecret(ctx, c.secret)
		if err != nil {
			return err
		}
		d.term.Note("GET %s with %s of Secret %s", c.path, c.credential, c.secret)
		status, err := holder{data: secret.Data, certificate: true}.getStatus(ctx, c.path)
		if err != nil {
			return err
		}
		request, err := d.coder.LastRequest(ctx, c.route)
		if err != nil {
			return err
		}
		if status != http.StatusOK || request.Username != c.caller {
			return &walk.UnexpectedError{
				Expected: "200 for " + c.caller, Seen: fmt.Sprintf("%d for %q", status, request.Username),
			}
		}
		d.term.Seen("%d %s; the server took the caller for %s", status, http.StatusText(status), request.Username)
	}
	return d.showRefusal(ctx)
}

// showRefusal shows that the edge rejects a caller without a certificate.
func (d *demo) showRefusal(ctx context.Context) error {
	secret, err := d.getSecret(ctx, mintedSession)
	if err != nil {
		return err
	}
	d.term.Note("GET /api/v2/deployment/ssh with the same of Secret %s, but no certificate", mintedSession)
	status, err := holder{data: secret.Data}.getStatus(ctx, "/api/v2/deployment/ssh")
	if err == nil || !strings.Contains(err.Error(), "certificate required") {
		return &walk.UnexpectedError{
			Expected: "the edge ends the TLS handshake: certificate required", Seen: fmt.Sprintf("status %d, error %v", status,
				err),
		}
	}
	d.term.Seen("refused at the edge: certificate required")
	return nil
}
