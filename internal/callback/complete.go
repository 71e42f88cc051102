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

// attemptHandler is one arrival at a session that exists.
type attemptHandler struct {
	*Handler
	callbackRequest
	object *v1alpha1.CoderSession
}

// complete does what an arrival asks for.
func (h *Handler) complete(ctx context.Context, a callbackRequest) outcome {
	ctx = log.IntoContext(ctx, log.FromContext(ctx).WithValues("session", a.session))
	v := &attemptHandler{Handler: h, callbackRequest: a, object: &v1alpha1.CoderSession{}}
	if err := h.objects.Get(ctx, a.session, v.object); err != nil {
		if apierrors.IsNotFound(err) {
			return unknown // strangers are not told which sessions there are
		}
		log.FromContext(ctx).Error(err, "cannot look at the session of an OAuth callback")
		return unavailable
	}
	// What comes next reads the API server itself.
	if !h.limit.AllowN(h.clock.Now(), 1) {
		return busy
	}
	// From here on nothing is left half done because a browser went away or the process is to end.
	ctx = context.WithoutCancel(ctx)
	said := v.answer(ctx)
	log.FromContext(ctx).V(1).Info("answered an OAuth callback", "outcome", string(said))
	return said
}

// answer looks at the document first: whoever does not know the state changes nothing, and nobody is asked for it.
func (v *attemptHandler) answer(ctx context.Context) outcome {
	short, cancel := context.WithTimeout(ctx, exchanging)
	defer cancel()
	state, _, err := v.grants.Read(short, v.object)
	if err == nil {
		err = v.judge(&state, v.clock.Now())
	}
	switch {
	case err != nil:
		return v.stopped(ctx, err)
	case v.refused != nil:
		return v.refuse(short)
	}
	return v.redeem(ctx, short, state)
}

// judge reports, as a stop, why the arrival does not complete the attempt that the document has (B62).
func (v *attemptHandler) judge(s *grant.State, now time.Time) error {
	switch a := s.Attempt; {
	case s.Replaced != "" && same(s.Replaced, v.state):
		return outcomeError(expired)
	case a == nil || s.Client == nil || !same(a.State, v.state):
		return outcomeError(unknown)
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

// same compares states in a time that tells nothing about where they differ.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// outcomeError is an outcome on the way out of a change of the document.
type outcomeError outcome

// Error returns a text without credentials.
func (s outcomeError) Error() string { return "the callback is " + string(s) }

// stopped is the outcome of something that failed before anything was sent. A document that is not there, not ours or not
// readable has no attempt (B25).
func (v *attemptHandler) stopped(ctx context.Context, err error) outcome {
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

// spend notes that the attempt is spent, unless somebody else did, and whatever else note does. Nobody but who gets past
// this sends anything of it.
func (v *attemptHandler) spend(ctx context.Context, note func(*grant.State, time.Time)) (grant.State, error) {
	return v.grants.Change(ctx, v.object, func(s *grant.State) error {
		now := v.clock.Now()
		if err := v.judge(s, now); err != nil {
			return err
		}
		s.Attempt.SpentAt = now
		note(s, now)
		return nil
	})
}

// refuse ends an attempt that the person or the server has refused.
func (v *attemptHandler) refuse(ctx context.Context) outcome {
	_, err := v.spend(ctx, func(s *grant.State, now time.Time) { end(s, v.refused, now) })
	switch {
	case err != nil:
		return v.stopped(ctx, err)
	case v.refused.Kind == oauth.AccessDenied:
		return denied
	}
	return refused
}

// end notes why the attempt came to nothing. A grant that is there does not suffer from it.
func end(s *grant.State, err error, now time.Time) {
	if s.Grant != nil {
		return
	}
	reason, message := describe(err)
	s.End(reason, message, now)
}
