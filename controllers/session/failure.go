// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// Classify describes errors of the Coder server, of its OAuth2 provider, and of templates. The class
// determines what the session waits for. It returns nil for others, which are the API server's.
func (kind) Classify(err error, action string) *failure.Failure {
	if err == nil {
		return nil
	}
	if f := classifyRequest(err); f != nil {
		return f
	}
	if isProviderError(err) {
		return classifyProviderError(err, session.Action(action))
	}
	var failed *coder.Error
	v := connection.ResultOf(err)
	message := describeAction(session.Action(action)) + ": " + v.Message
	f := &failure.Failure{Reason: v.Reason, Message: message, RetryAfter: v.RetryAfter}
	switch {
	case v.Outcome == authcheck.ConfigChanging:
		f.Class = failure.ConfigChanging
	case !errors.As(err, &failed):
		return nil
	case failed.Kind == coder.RateLimited:
		f.Class = failure.Wait
	case failed.Kind.Transient():
		f.Class = failure.Transient
	case failed.Kind == coder.Invalid:
		f.Class = failure.Config
	case failed.Kind == coder.NotFound || failed.Kind == coder.Forbidden:
		f.Class = failure.Denied
		f.Message += ": the operator's user needs the role owner to mint for others"
	default:
		f.Class = failure.Denied
	}
	return f
}

// classifyRequest describes what is wrong with what a session asks for; nil: something else.
func classifyRequest(err error) *failure.Failure {
	var template *secret.TemplateError
	var altered *secret.AlteredError
	var unknown *connection.UnknownScopesError
	var denied *AccessDeniedError
	switch {
	case errors.As(err, &template):
		return &failure.Failure{Class: failure.Config, Reason: v1alpha1.ReasonTemplateInvalid, Message: template.Error()}
	case errors.As(err, &altered):
		return &failure.Failure{Class: failure.Refused, Reason: v1alpha1.ReasonSecretModified, Message: altered.Error()}
	case errors.As(err, &unknown):
		return &failure.Failure{Class: failure.Config, Message: unknown.Error()}
	case errors.As(err, &denied):
		return &failure.Failure{Class: failure.AccessDenied, Message: denied.Error()}
	}
	return nil
}

// describedActions are what failed, for people.
var describedActions = map[session.Action]string{
	session.LookUpUser:                "looking up the user",
	session.Mint:                      "minting a token",
	session.CheckCredential:           "checking the credential",
	session.Revoke:                    "revoking tokens",
	session.FindLostToken:             "looking for a lost token",
	session.FindWorkspace:             "looking up the workspace",
	session.RegisterClient:            "registering the OAuth client",
	session.StartAuthorization:        "preparing the consent",
	session.RefreshGrant:              "refreshing the grant",
	session.ResolveInterruptedRefresh: "checking an interrupted refresh",
	session.EndGrant:                  "ending the grant",
	session.ForgetGrant:               "ending the grant",
}

func describeAction(action session.Action) string {
	if what, known := describedActions[action]; known {
		return what
	}
	return strings.ToLower(string(action))
}

// isProviderError reports whether an error was returned by the OAuth2 provider, not by the
// connection to it.
func isProviderError(err error) bool {
	kind := oauth.KindOf(err)
	return kind != "" && kind != oauth.Connection
}

// classifyProviderError distinguishes errors that need a change of configuration from errors that
// may go away when the request is retried. A failed refresh does not affect the published token.
func classifyProviderError(err error, action session.Action) *failure.Failure {
	var e *oauth.Error
	errors.As(err, &e)
	f := &failure.Failure{Message: describeAction(action) + ": " + oauth.Summary(err), RetryAfter: e.RetryAfter}
	switch {
	case e.Kind == oauth.Unavailable && e.RetryAfter > 0:
		f.Class = failure.Wait
	case e.Kind == oauth.Unavailable,
		action == session.RefreshGrant, action == session.CheckCredential, action == session.ForgetGrant:
		f.Class = failure.Transient
	default:
		f.Class = failure.Config
	}
	return f
}
