// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"crypto/rand"
	"io"
	"time"

	"k8s.io/utils/clock"
)

// Profile selects the server generation to simulate (contract 0).
type Profile string

const (
	// ProfileR30 behaves like v2.30.
	ProfileR30 Profile = "R30"
	// ProfileMid behaves like v2.31 to v2.37, and as v2.35 where these differ.
	ProfileMid Profile = "MID"
	// ProfileNew behaves like v2.38 and later.
	ProfileNew Profile = "NEW"
)

// IsKnown reports whether there is such a profile.
func (p Profile) IsKnown() bool { return p == ProfileR30 || p == ProfileMid || p == ProfileNew }

// ExpiryRule says whether use extends API tokens (contract B.7). The version of a server does not
// tell, because the fixed rule was backported.
type ExpiryRule string

const (
	// ExpirySliding extends tokens, as all other keys.
	ExpirySliding ExpiryRule = "sliding"
	// ExpiryFixed lets tokens end at the time that they were minted with.
	ExpiryFixed ExpiryRule = "fixed"
)

// RateLimitKeying says by what requests are counted (contract A.7).
type RateLimitKeying string

const (
	// KeyByIP counts everything by remote address and ignores the owner's bypass header, as R30 does.
	KeyByIP RateLimitKeying = "ip"
	// KeyByUser counts by user, and by address for requests without a valid session.
	KeyByUser RateLimitKeying = "user"
)

// Options configures a Server. The zero value is a working NEW server with the deployment defaults
// of the contract.
type Options struct {
	// Profile is the server generation; "" is ProfileNew.
	Profile Profile
	// Clock is the server's time, before SetClockOffset; nil is the real clock.
	Clock clock.PassiveClock
	// Random feeds token ids, secrets and UUIDs; nil is crypto/rand.Reader.
	Random io.Reader
	// AccessURL is the configured external URL, without a trailing slash; "" is
	// https://coder.example.test.
	AccessURL string
	// DeploymentID is the server's stable identity; "" draws a UUID.
	DeploymentID string
	// Version is what buildinfo and X-Coder-Build-Version show; "" is one that fits the profile.
	Version string
	// DefaultTokenLifetime is CODER_DEFAULT_TOKEN_LIFETIME; 0 is 7 days.
	DefaultTokenLifetime time.Duration
	// MaxTokenLifetime is CODER_MAX_TOKEN_LIFETIME; 0 is 876600 hours.
	MaxTokenLifetime time.Duration
	// MaxAdminTokenLifetime is CODER_MAX_ADMIN_TOKEN_LIFETIME, for targets with the owner role; 0 is
	// 168 hours.
	MaxAdminTokenLifetime time.Duration
	// SessionDuration is CODER_SESSION_DURATION, the lifetime of a login's key and of OAuth2 access
	// tokens; 0 is 24 hours.
	SessionDuration time.Duration
	// KeyRetention is CODER_API_KEYS_RETENTION: how long expired keys stay; 0 is 7 days, negative is
	// for ever.
	KeyRetention time.Duration
	// TokenExpiry overrides the profile's rule: "" is ExpirySliding for R30 and ExpiryFixed for others.
	TokenExpiry ExpiryRule
	// DisableExpiryRefresh is CODER_DISABLE_SESSION_EXPIRY_REFRESH: no key slides (B.7).
	DisableExpiryRefresh bool
	// DisableActivation switches off the hook that makes a dormant user active when a valid key is
	// used (A.5).
	DisableActivation bool
	// APIRateLimit is CODER_API_RATE_LIMIT, requests per minute; 0 is 512, negative is off.
	APIRateLimit int
	// DisableRateLimits is CODER_DANGEROUS_DISABLE_RATE_LIMITS: every limit off, the login limit too.
	DisableRateLimits bool
	// RateLimitKeying overrides the profile's: "" is KeyByIP for R30 and KeyByUser for others.
	RateLimitKeying RateLimitKeying
	// MaxBodyBytes bounds request bodies; 0 is 4 MiB in NEW and no limit in others (A.8).
	MaxBodyBytes int64
	// OAuth2Provider is CODER_OAUTH2_PROVIDER_ENABLE, NEW's switch of the OAuth2 provider (C.1).
	OAuth2Provider bool
	// DynamicRegistration opens POST /oauth2/register in NEW; the settings' endpoint changes it (C.3).
	// Others are always open.
	DynamicRegistration bool
	// RefreshLifetime is CODER_DEFAULT_OAUTH_REFRESH_LIFETIME; 0 is 30 days. Access tokens live for
	// SessionDuration (C.7). A real server does not start unless it is the longer of the two; here any
	// values are accepted.
	RefreshLifetime time.Duration
	// Experiments is what GET /api/v2/experiments answers; "oauth2" switches the OAuth2 provider of R30
	// and MID on (C.1).
	Experiments []string
	// StreamHeartbeat is how often open streams are pinged, in real time; 0 is 15 s (D.1).
	StreamHeartbeat time.Duration
	// EventStreamsOnly simulates a server from before the WebSocket route: streams are server-sent
	// events only (D.1).
	EventStreamsOnly bool
	// RequestLogSize bounds the request log; 0 is 4096 entries. The counters are not bounded by it.
	RequestLogSize int
}

const (
	defaultAccessURL      = "https://coder.example.test"
	defaultTokenLifetime  = 7 * 24 * time.Hour
	defaultMaxLifetime    = 876600 * time.Hour
	defaultMaxAdmin       = 168 * time.Hour
	defaultSession        = 24 * time.Hour
	defaultRetention      = 7 * 24 * time.Hour
	defaultAPIRateLimit   = 512
	defaultMaxBodyNew     = 4 << 20
	defaultRequestLogSize = 4096
)

// withDefaults sets the defaults that do not depend on the profile. The others are computed on use,
// so that Reconfigure can switch the profile of a running server.
func (o Options) withDefaults() Options {
	orDuration := func(v *time.Duration, fallback time.Duration) {
		if *v == 0 {
			*v = fallback
		}
	}
	orDuration(&o.DefaultTokenLifetime, defaultTokenLifetime)
	orDuration(&o.MaxTokenLifetime, defaultMaxLifetime)
	orDuration(&o.MaxAdminTokenLifetime, defaultMaxAdmin)
	orDuration(&o.SessionDuration, defaultSession)
	orDuration(&o.RefreshLifetime, defaultRefresh)
	orDuration(&o.KeyRetention, defaultRetention)
	if o.Profile == "" {
		o.Profile = ProfileNew
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.AccessURL == "" {
		o.AccessURL = defaultAccessURL
	}
	if o.APIRateLimit == 0 {
		o.APIRateLimit = defaultAPIRateLimit
	}
	if o.RequestLogSize <= 0 {
		o.RequestLogSize = defaultRequestLogSize
	}
	return o
}

func (o Options) isNew() bool { return o.Profile == ProfileNew }

// sinceMid reports whether the server is younger than R30.
func (o Options) sinceMid() bool { return o.Profile != ProfileR30 }

// slidesTokens reports whether use extends API tokens.
func (o Options) slidesTokens() bool {
	if o.TokenExpiry == "" {
		return !o.sinceMid()
	}
	return o.TokenExpiry == ExpirySliding
}

func (o Options) buildVersion() string {
	switch {
	case o.Version != "":
		return o.Version
	case o.isNew():
		return "v2.38.1+abc1234"
	case o.sinceMid():
		return "v2.35.0+abc1234"
	default:
		return "v2.30.0+abc1234"
	}
}

func (o Options) rateLimitKeying() RateLimitKeying {
	switch {
	case o.RateLimitKeying != "":
		return o.RateLimitKeying
	case o.sinceMid():
		return KeyByUser
	default:
		return KeyByIP
	}
}

// maxBody is the body limit in bytes; 0 is none.
func (o Options) maxBody() int64 {
	if o.MaxBodyBytes == 0 && o.isNew() {
		return defaultMaxBodyNew
	}
	return o.MaxBodyBytes
}
