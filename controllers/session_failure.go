// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// classifyError converts an error of the Coder server to a failure, whose class determines
// what the session waits for. Errors of the API server are returned unchanged.
func classifyError(err error, action session.Action) (*session.Failure, error) {
	doing := strings.ToLower(string(action))
	if isProviderError(err) {
		return classifyProviderError(err, action, doing), nil
	}
	var failed *coder.Error
	v := connection.ResultOf(err)
	f := &session.Failure{Reason: v.Reason, Message: doing + ": " + v.Message, RetryAfter: v.RetryAfter}
	switch {
	case v.Outcome == authcheck.ConfigChanging:
		f.Class = session.ConfigChanging
	case !errors.As(err, &failed):
		return nil, err
	case failed.Kind == coder.RateLimited:
		f.Class = session.Wait
	case failed.Kind.Transient():
		f.Class = session.Transient
	case failed.Kind == coder.Invalid:
		f.Class = session.Config
	case failed.Kind == coder.NotFound || failed.Kind == coder.Forbidden:
		f.Class = session.Denied
		f.Message += ": the operator's user needs the owner role to mint for others"
	default:
		f.Class = session.Denied
	}
	return f, nil
}

// isProviderError reports whether an error was returned by the OAuth2 provider, not by the
// connection to it.
func isProviderError(err error) bool {
	kind := oauth.KindOf(err)
	return kind != "" && kind != oauth.Connection
}

// classifyProviderError distinguishes errors that need a change of configuration from errors
// that may go away when the request is retried. A failed refresh does not affect the
// published token.
func classifyProviderError(err error, action session.Action, doing string) *session.Failure {
	var e *oauth.Error
	errors.As(err, &e)
	f := &session.Failure{Message: doing + ": " + oauth.Summary(err), RetryAfter: e.RetryAfter}
	switch {
	case e.Kind == oauth.Unavailable && e.RetryAfter > 0:
		f.Class = session.Wait
	case e.Kind == oauth.Unavailable,
		action == session.RefreshGrant, action == session.CheckCredential, action == session.ForgetGrant:
		f.Class = session.Transient
	default:
		f.Class = session.Config
	}
	return f
}
