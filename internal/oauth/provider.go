// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// Operations, as used in Error.Op and in the coder.Call that Observe receives.
const (
	OpDiscover          = "oauth_discover"
	OpRegister          = "oauth_register"
	OpDeregister        = "oauth_deregister"
	OpCheckRegistration = "oauth_check_registration"
	OpExchange          = "oauth_exchange"
	OpRefresh           = "oauth_refresh"
	OpRevoke            = "oauth_revoke"
	// OpAuthorize is not a request of the operator: a person's browser makes it, and the result
	// arrives at the callback.
	OpAuthorize = "oauth_authorize"
)

// Provider is the OAuth2 provider of a deployment, accessed through a client of that deployment. It
// is immutable and safe for concurrent use.
//
// Its methods return errors of type *Error and send each request once.
type Provider struct {
	client *coder.Client
	clock  clock.PassiveClock
}

// New returns the provider of client's deployment. The clock is used if a response has no Date
// header.
func New(client *coder.Client, c clock.PassiveClock) Provider {
	return Provider{client: client, clock: c}
}
