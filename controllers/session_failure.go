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

// classify turns a server's error into what the session waits for. Errors of the
// API server are not its business and come back as they are.
func classify(err error, action session.Action) (*session.Failure, error) {
	doing := strings.ToLower(string(action))
	if providerFailed(err) {
		return classifyProvider(err, action, doing), nil
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

// providerFailed reports whether it is the OAuth2 provider that did not do what it was
// asked, and not the way to it.
func providerFailed(err error) bool {
	kind := oauth.KindOf(err)
	return kind != "" && kind != oauth.Connection
}

// classifyProvider tells what waits for a change of somebody's settings from what may
// go better next time. A refresh that fails says nothing about the token that is
// published.
func classifyProvider(err error, action session.Action, doing string) *session.Failure {
	var e *oauth.Error
	errors.As(err, &e)
	f := &session.Failure{Message: doing + ": " + oauth.Summary(err), RetryAfter: e.RetryAfter}
	switch {
	case e.Kind == oauth.Unavailable && e.RetryAfter > 0:
		f.Class = session.Wait
	case e.Kind == oauth.Unavailable, action == session.RefreshGrant, action == session.CheckCredential, action == session.ForgetGrant:
		f.Class = session.Transient
	default:
		f.Class = session.Config
	}
	return f
}
