// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

func TestUnreachableDoesNotMakeAGoodCredentialBad(t *testing.T) {
	t.Parallel()
	down := withDeployment(func(d *Deployment) { d.Result = unreachable })
	with := func(options ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, time.Hour), down},
			options...)...)
	}
	stays := outcome{Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "True Synced", Wake: interval}
	gone := outcome{Ready: "False AwaitingDeployment", Authenticated: "absent", Synced: "True Synced", Wake: interval}
	noSecret := outcome{Ready: "False AwaitingDeployment", Authenticated: "absent", Synced: "absent", Wake: interval}
	but := func(o outcome, change func(*outcome)) outcome {
		change(&o)
		return o
	}
	checkRows(t, map[string]row{
		"Ready stays": {with(), stays},
		"Suspended stays": {
			with(withReady(false, v1alpha1.ReasonSuspended)),
			but(stays, func(o *outcome) { o.Ready, o.Suspended = "False Suspended", "Unauthorized" }),
		},
		"what was not ready for another reason now waits for the deployment": {
			with(withReady(false, v1alpha1.ReasonConfigInvalid)), but(
				stays, func(o *outcome) { o.Ready = "False AwaitingDeployment" },
			),
		},
		"the end of the token is a time to look": {
			with(func(o *Observation) { o.Secret.Token.ExpiresAt = o.Now.Add(time.Minute) }),
			but(stays, func(o *outcome) { o.Wake = time.Minute }),
		},
		"B53 the end by the server's clock": {
			with(func(o *Observation) { o.Secret.Token.ExpiresAt, o.Skew = o.Now.Add(3*time.Minute), time.Minute }),
			but(stays, func(o *outcome) { o.Wake = 2 * time.Minute }),
		},
		"after its end it is not ready, and there is no hurry": {
			with(func(o *Observation) { o.Secret.Token.ExpiresAt = o.Now }), gone,
		},
		"B53 ended for a server that is ahead": {with(func(o *Observation) { o.Skew = 24 * time.Hour }), gone},
		"a token without an end stays ready": {
			with(func(o *Observation) { o.Secret.Token.ExpiresAt = time.Time{} }), stays,
		},
		"the Secret is gone": {
			with(withSecret(func(s *Secret) { *s = Secret{} })),
			but(
				noSecret,
				func(o *outcome) { o.Wake, o.Retiring = interval, map[string]time.Duration{"t4": 5 * time.Minute} },
			),
		},
		"the value is gone": {with(withSecret(func(s *Secret) { s.ValueGone = true })), gone},
		"B25 the Secret is corrupt, which is a condition": {
			newSession(
				"ci", withMint("bot"), down,
				withSecret(func(s *Secret) { s.Exists, s.Corrupt = true, "annotation x cannot be read" }),
			),
			but(gone, func(o *outcome) { o.Synced = "False ReferenceInvalid" }),
		},
		"the deployment does not exist": {
			with(withDeployment(func(d *Deployment) { *d = Deployment{} })),
			but(stays, func(o *outcome) { o.Authenticated = "Unknown AwaitingDeployment" }),
		},
		"B14 the deployment does not exist yet": {
			newSession("ci", withMint("bot"), withDeployment(func(d *Deployment) { *d = Deployment{} })), noSecret,
		},
		"B12 the deployment's settings are broken": {
			newSession(
				"ci", withMint("bot"),
				withDeployment(func(d *Deployment) { d.Problem, d.Result = "no key", authcheck.Result{} }),
			), noSecret,
		},
	})
}

func TestFailures(t *testing.T) {
	t.Parallel()
	with := func(options ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, 20*time.Hour)}, options...)...)
	}
	none := func(class FailureClass, reason string) Observation {
		return newSession("ci", withMint("bot"), lookedUp("u", "bot"), failedTo(Mint, class, reason))
	}
	after := func(d time.Duration) option { return func(o *Observation) { o.Failure.RetryAfter = d } }
	checkRows(t, map[string]row{
		"B08 met settings that change: status stays as it is": {
			with(failedTo(Mint, ConfigChanging, "")), outcome{Keep: true, Wake: time.Second},
		},
		"a write conflict: observe again": {with(failedTo(Mint, Conflict, "")), outcome{Keep: true, Again: true}},
		"transient: backoff, Ready stays": {
			with(failedTo(Mint, Transient, "")),
			outcome{
				Backoff: true, Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "True Synced",
				Wake: interval,
			},
		},
		"transient, with nothing published": {
			none(Transient, ""), outcome{
				Backoff: true, Ready: "False AwaitingDeployment", Authenticated: "absent", Synced: "absent",
				Wake: interval,
			},
		},
		"B46 the operator is refused: Ready stays, nothing is tried until the next interval": {
			with(failedTo(Mint, Denied, v1alpha1.ReasonUnauthorized)),
			outcome{Ready: "True Active", Authenticated: "Unknown Unauthorized", Synced: "True Synced", Wake: interval},
		},
		"the operator is refused for no known reason": {
			with(failedTo(Mint, Denied, "")),
			outcome{
				Ready: "True Active", Authenticated: "Unknown AwaitingDeployment", Synced: "True Synced",
				Wake: interval,
			},
		},
		"the server finds the request invalid": {
			with(failedTo(Mint, Config, "")), outcome{Ready: "False ConfigInvalid", Wake: interval},
		},
		"B52 the server asks for a minute": {
			with(failedTo(Mint, Wait, ""), after(time.Minute)),
			outcome{
				Ready: "True Active", Authenticated: "Unknown RateLimited", Synced: "True Synced", Wake: time.Minute,
			},
		},
		"B52 the server asks for an hour": {
			with(failedTo(Mint, Wait, ""), after(time.Hour)),
			outcome{Ready: "True Active", Authenticated: "Unknown RateLimited", Synced: "True Synced", Wake: time.Hour},
		},
		"B52 the server does not say how long": {
			with(failedTo(Mint, Wait, "")),
			outcome{
				Backoff: true, Ready: "True Active", Authenticated: "Unknown RateLimited", Synced: "True Synced",
				Wake: interval,
			},
		},
	})
}

func TestSuspendedSince(t *testing.T) {
	t.Parallel()
	before := noon.Add(-time.Hour)
	for name, tc := range map[string]struct {
		reason string
		want   time.Time
	}{
		"B94 the same reason goes on":   {v1alpha1.ReasonUnauthorized, before},
		"another reason is another one": {v1alpha1.ReasonUserSuspended, noon},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newSession("ci", withToken(), checkedAs(value, 0, refused), withReady(false, v1alpha1.ReasonSuspended))
			o.CredentialCheck.Result.Reason = tc.reason
			if got := Decide(o).Suspension.StartTime.Time; !got.Equal(tc.want) {
				t.Errorf("suspended since %s, want %s", got, tc.want)
			}
		})
	}
}
