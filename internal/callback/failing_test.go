// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestExchangesThatFail(t *testing.T) { // B62
	t.Parallel()
	tests := map[string]struct {
		fault  coderd.Fault
		code   string
		reason oauth.Kind
	}{
		"an unknown code": {code: "coder_0123456789_" + strings.Repeat("x", 40), reason: oauth.InvalidGrant},
		"an unknown client": {fault: coderd.Fault{Kind: coderd.FaultStatus, Status: 401, Message: "invalid_client"},
			reason: oauth.InvalidClient},
		"the answer is lost":    {fault: coderd.Fault{Kind: coderd.FaultDropAnswer}, reason: oauth.Unavailable},
		"the request is lost":   {fault: coderd.Fault{Kind: coderd.FaultDropBefore}, reason: oauth.Unavailable},
		"a gateway answers":     {fault: coderd.Fault{Kind: coderd.FaultHTML}, reason: oauth.Unavailable},
		"the server is broken":  {fault: coderd.Fault{Kind: coderd.FaultStatus}, reason: oauth.Unavailable},
		"the server is busy":    {fault: coderd.Fault{Kind: coderd.FaultTooManyRequests}, reason: oauth.Unavailable},
		"a proxy denies access": {fault: coderd.Fault{Kind: coderd.FaultHTML, Status: 403}, reason: oauth.Connection},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(w *callbackEnv) {
				location, fault := w.giveConsent(), tt.fault
				if tt.code != "" {
					w.hideValues(tt.code)
					location = withParameters(location, "code", tt.code)
				} else {
					fault.Method, fault.Path = http.MethodPost, "/oauth2/tokens"
					w.server.Inject(fault)
				}
				w.wantOutcome(w.openAt(w.replica, location), failed)
				s := w.readDocument()
				if s.Grant != nil || s.Ended == nil || s.Ended.Reason != string(tt.reason) || s.Ended.Message == "" ||
					s.Ended.Consented ||
					!s.Attempt.SpentAt.Equal(now) || s.Ended.At.Before(s.Attempt.SpentAt) {
					t.Errorf("the document is %+v, ended %+v", s, s.Ended)
				}
				w.server.ClearFaults()
				w.wantOutcome(w.openAt(w.replica, location), used)
				// As long as the Retry-After of the busy server, and until the rate limit has tokens again.
				w.clock.Step(time.Minute + 10*time.Second)
				w.createAttempt(nil)
				w.wantOutcome(w.openAt(w.replica, w.giveConsent()), done)
				w.wantGrant()
			})
		})
	}
}

// An error before the attempt is spent leaves the attempt valid.
func TestWhatPassesDoesNotCostTheConsent(t *testing.T) {
	t.Parallel()
	get := func(key types.NamespacedName) func(w *callbackEnv) {
		return func(w *callbackEnv) {
			w.api.setFaults(func(verb string, at types.NamespacedName) error {
				if verb == "get" && at == key {
					return errAPI
				}
				return nil
			}, nil)
		}
	}
	tests := map[string]func(w *callbackEnv){
		"the server is away": func(w *callbackEnv) { w.server.Inject(coderd.Fault{Kind: coderd.FaultDropBefore}) },
		"the server is broken": func(w *callbackEnv) {
			w.server.Inject(coderd.Fault{Kind: coderd.FaultStatus, Path: "/.well-known/**"})
		},
		"the provider is off":        func(w *callbackEnv) { w.server.SetOAuth2Provider(false) },
		"the session is not read":    get(sessionKey),
		"the document is not read":   get(documentKey),
		"the deployment is not read": get(deploymentKey),
		"the attempt is not spent": func(w *callbackEnv) {
			w.api.setFaults(func(verb string, _ types.NamespacedName) error {
				if verb == "update" {
					return errAPI
				}
				return nil
			}, nil)
		},
		"the settings are broken": func(w *callbackEnv) {
			w.api.editDeployment(func(spec *v1alpha1.CoderDeploymentSpec) { spec.Token.SecretRef.Key = "missing" })
		},
	}
	for name, disturb := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCallbackEnv(t, coderd.ProfileNew)
			location, written := w.giveConsent(), w.documentVersion()
			disturb(w)
			got := w.openAt(w.replica, location)
			w.wantOutcome(got, unavailable)
			if w.documentVersion() != written || w.countExchanges() != 0 || got.Header().Get("Retry-After") == "" {
				t.Error("the attempt was spent, or its code was sent")
			}
			w.server.ClearFaults()
			w.server.SetOAuth2Provider(true)
			w.api.setFaults(nil, nil)
			w.api.editDeployment(func(spec *v1alpha1.CoderDeploymentSpec) { spec.Token.SecretRef.Key = "token" })
			w.wantOutcome(w.openAt(w.replica, location), done)
			w.wantGrant()
		})
	}
}
