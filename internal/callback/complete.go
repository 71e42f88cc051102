// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
)

// attemptHandler handles one callback request for a session that exists.
type attemptHandler struct {
	*Handler
	callbackRequest
	object *v1alpha1.CoderSession
}

// handleCallback handles a callback request that was parsed.
func (h *Handler) handleCallback(ctx context.Context, a callbackRequest) outcome {
	ctx = log.IntoContext(ctx, log.FromContext(ctx).WithValues("session", a.session))
	// The next steps read from the API server.
	if !h.limits.allow(a.session, a.source, h.clock.Now()) {
		return busy
	}
	v := &attemptHandler{Handler: h, callbackRequest: a, object: &v1alpha1.CoderSession{}}
	if err := h.objects.Get(ctx, a.session, v.object); err != nil {
		if apierrors.IsNotFound(err) {
			return unknown // it was deleted since
		}
		log.FromContext(ctx).Error(err, "cannot look at the session of an OAuth callback")
		return unavailable
	}
	// From here on the work is finished even if the browser disconnects or the process is stopping.
	ctx = context.WithoutCancel(ctx)
	said := v.completeAttempt(ctx)
	log.FromContext(ctx).V(1).Info("answered an OAuth callback", "outcome", string(said))
	return said
}

// completeAttempt checks the document first: a caller that does not know the state causes no writes
// and no requests to the server.
func (v *attemptHandler) completeAttempt(ctx context.Context) outcome {
	short, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	state, _, err := v.grants.Read(short, v.object)
	if err == nil {
		err = v.checkAttempt(&state, v.clock.Now())
	}
	switch {
	case err != nil:
		return v.outcomeOf(ctx, err)
	case v.refused != nil:
		return v.recordRefusal(short)
	}
	return v.exchangeCode(ctx, short, state)
}

// checkAttempt returns an outcomeError if the request does not complete the attempt in the document
// (B62).
func (v *attemptHandler) checkAttempt(s *grant.State, now time.Time) error {
	a := s.Attempt
	if s.Replaced != "" && equalStates(s.Replaced, v.state) {
		return outcomeError(expired)
	}
	if a == nil || s.Client == nil || !equalStates(a.State, v.state) {
		return outcomeError(unknown)
	}
	if v.issuer != "" && v.issuer != a.Issuer {
		return outcomeError(unknown) // another server's answer (RFC 9207, section 2.4)
	}
	return v.checkSession(a, now)
}

// checkSession returns an outcomeError if the session's own attempt cannot be completed.
func (v *attemptHandler) checkSession(a *grant.Attempt, now time.Time) error {
	switch {
	case !v.object.DeletionTimestamp.IsZero() || v.object.Spec.Auth.Method() != v1alpha1.AuthOAuth:
		return outcomeError(gone)
	case !a.SpentAt.IsZero():
		return outcomeError(used)
	case !now.Before(a.ExpiresAt):
		return outcomeError(expired)
	case v.object.Spec.Paused:
		return outcomeError(paused)
	}
	return nil
}

// equalStates compares states in constant time.
func equalStates(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// outcomeError is an outcome as an error, to abort a change of the document.
type outcomeError outcome

// Error returns a text without credentials.
func (s outcomeError) Error() string { return "the callback is " + string(s) }

// outcomeOf is the outcome of an error that occurred before the attempt was spent. A document that
// does not exist, belongs to another session or cannot be read has no attempt (B25).
func (v *attemptHandler) outcomeOf(ctx context.Context, err error) outcome {
	var why outcomeError
	var corrupt *grant.CorruptError
	switch {
	case errors.As(err, &why):
		return outcome(why)
	case errors.Is(err, grant.ErrForeign), errors.As(err, &corrupt):
		return unknown
	}
	log.FromContext(ctx).Error(err, "cannot complete an OAuth callback yet; nothing was changed")
	return unavailable
}

// markSpent records that the attempt is spent, together with the changes of note. It fails if
// another callback was first: only one callback of each attempt gets past it and sends the code.
func (v *attemptHandler) markSpent(ctx context.Context, note func(*grant.State, time.Time)) (grant.State, error) {
	return v.grants.Change(ctx, v.object, func(s *grant.State) error {
		now := v.clock.Now()
		if err := v.checkAttempt(s, now); err != nil {
			return err
		}
		s.Attempt.SpentAt = now
		note(s, now)
		return nil
	})
}

// recordRefusal ends an attempt that the person or the server has refused.
func (v *attemptHandler) recordRefusal(ctx context.Context) outcome {
	_, err := v.markSpent(ctx, func(s *grant.State, now time.Time) { endAttempt(s, v.refused, now) })
	switch {
	case err != nil:
		return v.outcomeOf(ctx, err)
	case v.refused.Kind == oauth.AccessDenied:
		return denied
	}
	return refused
}

// endAttempt records why the attempt failed, unless the session has a grant already: that one stays
// valid.
func endAttempt(s *grant.State, err error, now time.Time) {
	if s.Grant != nil {
		return
	}
	reason, message := describeFailure(err)
	s.End(reason, message, now)
}
