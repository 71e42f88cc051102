// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
)

var (
	// errOther is the error of a document that is another registration's by now: a grant is of no use without its own.
	errOther = errors.New("the session is registered anew, or deleted")
	// errStored says that a write was carried out whose answer was lost. What came after it must not be undone.
	errStored = errors.New("the grant is stored already")
)

// store stores a grant, for as long as the API server does not take it. The error says that it is not stored.
func (v *attemptHandler) store(ctx context.Context, clientID string, g oauth.Grant) error {
	ctx, cancel := context.WithTimeout(ctx, v.storing)
	defer cancel()
	var last error
	err := wait.PollUntilContextCancel(ctx, storingAgain, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, storingOnce)
		defer cancel()
		_, last = v.grants.Change(ctx, v.object, func(s *grant.State) error {
			switch {
			case s.Client == nil || s.Client.ClientID != clientID:
				return errOther
			case s.Grant != nil && s.Grant.KeyID == g.KeyID:
				return errStored
			}
			s.Granted(g, v.clock.Now())
			return nil
		})
		var corrupt *grant.CorruptError
		switch {
		case last == nil, errors.Is(last, errStored):
			return true, nil
		case errors.Is(last, errOther), errors.Is(last, grant.ErrForeign), errors.As(last, &corrupt):
			return false, last
		}
		return false, nil
	})
	if err != nil {
		return last
	}
	return nil
}

// noteFailure says in the document why there is no grant. Where that cannot be written the attempt is spent all the same, and
// replaced after [grant.SpendingTime].
func (v *attemptHandler) noteFailure(ctx context.Context, failure error) {
	log.FromContext(ctx).Info("the exchange of an OAuth code failed", "kind", string(oauth.KindOf(failure)))
	ctx, cancel := context.WithTimeout(ctx, v.storing)
	defer cancel()
	_, err := v.grants.Change(ctx, v.object, func(s *grant.State) error {
		if s.Attempt == nil || s.Attempt.State != v.state {
			return outcomeError(unknown)
		}
		end(s, failure, v.clock.Now())
		return nil
	})
	if why := outcomeError(""); err != nil && !errors.As(err, &why) {
		log.FromContext(ctx).Error(err, "cannot note why the exchange of an OAuth code failed")
	}
}

// describe says what failed: in one word, and for people.
func describe(err error) (reason, message string) {
	var e *oauth.Error
	var unsettled *connection.ConfigChangingError
	switch {
	case errors.As(err, &e):
		return string(e.Kind), oauth.Summary(err)
	case errors.Is(err, errMoved):
		return string(oauth.Connection), errMoved.Error()
	case errors.As(err, &unsettled):
		return string(oauth.Connection), "the deployment's settings were changing"
	}
	return string(oauth.Unavailable), "the server could not be asked"
}
