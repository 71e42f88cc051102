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
	// errRegistrationChanged says that the document has another registration by now: the grant is
	// useless without its own.
	errRegistrationChanged = errors.New("the session was registered again, or deleted")
	// errAlreadyStored says that an earlier write was carried out although its answer was lost.
	// Later changes must not be undone.
	errAlreadyStored = errors.New("the grant is stored already")
)

// storeGrant stores a grant, and retries until the API server accepts it or the timeout ends. An
// error means that it is not stored.
func (v *attemptHandler) storeGrant(ctx context.Context, clientID string, g oauth.Grant) error {
	ctx, cancel := context.WithTimeout(ctx, v.storeTimeout)
	defer cancel()
	var last error
	err := wait.PollUntilContextCancel(ctx, storeRetryInterval, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, storeAttemptTimeout)
		defer cancel()
		_, last = v.grants.Change(ctx, v.object, func(s *grant.State) error {
			switch {
			case s.Client == nil || s.Client.ClientID != clientID:
				return errRegistrationChanged
			case s.Grant != nil && s.Grant.KeyID == g.KeyID:
				return errAlreadyStored
			}
			s.Granted(g, v.clock.Now())
			return nil
		})
		var corrupt *grant.CorruptError
		switch {
		case last == nil, errors.Is(last, errAlreadyStored):
			return true, nil
		case errors.Is(last, errRegistrationChanged), errors.Is(last, grant.ErrForeign), errors.As(last, &corrupt):
			return false, last
		}
		return false, nil
	})
	if err != nil {
		return last
	}
	return nil
}

// noteFailure records in the document why there is no grant. If that fails, too, the attempt stays
// spent, and is replaced after [grant.SpendingTime].
func (v *attemptHandler) noteFailure(ctx context.Context, failure error) {
	log.FromContext(ctx).Info("the exchange of an OAuth code failed", "kind", string(oauth.KindOf(failure)))
	ctx, cancel := context.WithTimeout(ctx, v.storeTimeout)
	defer cancel()
	_, err := v.grants.Change(ctx, v.object, func(s *grant.State) error {
		if s.Attempt == nil || s.Attempt.State != v.state {
			return outcomeError(unknown)
		}
		endAttempt(s, failure, v.clock.Now())
		return nil
	})
	if why := outcomeError(""); err != nil && !errors.As(err, &why) {
		log.FromContext(ctx).Error(err, "cannot note why the exchange of an OAuth code failed")
	}
}

// describeFailure returns the reason, and a message for people.
func describeFailure(err error) (reason, message string) {
	var e *oauth.Error
	var unsettled *connection.ConfigChangingError
	switch {
	case errors.As(err, &e):
		return string(e.Kind), oauth.Summary(err)
	case errors.Is(err, errServerChanged):
		return string(oauth.Connection), errServerChanged.Error()
	case errors.As(err, &unsettled):
		return string(oauth.Connection), "the deployment's settings were changing"
	}
	return string(oauth.Unavailable), "the server could not be asked"
}
