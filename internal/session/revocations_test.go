// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// B136: no token stays valid longer than a day after it was replaced, or than its lifetime.
func TestTheOverlapIsBounded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lifetime, overlap v1alpha1.Duration
		want              time.Duration
	}{
		"as asked":               {"24h", "90m", 90 * time.Minute},
		"longer than a day":      {"9999h", "99999h", 24 * time.Hour},
		"longer than a lifetime": {"2h", "3h", 2 * time.Hour},
		"a short life":           {"2m", "5m", 2 * time.Minute},
	} {
		o := newSession("ci", withMint("bot"), withLifetime(tc.lifetime), withRotation("", tc.overlap))
		if got := (&revocationSchedule{o: o}).overlapEnd().Sub(noon); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestPendingRevocations(t *testing.T) {
	t.Parallel()
	steady := func(options ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, time.Hour)}, options...)...)
	}
	statusNames := func(id string, serial int64) option {
		return func(o *Observation) { o.Session.Status.Token.ID, o.Session.Status.Token.Serial = id, serial }
	}
	fine := func(pending map[string]time.Duration, wake time.Duration) outcome {
		o := activeOutcome(wake)
		o.Pending = pending
		return o
	}
	checkRows(t, map[string]row{
		"B43 the token before goes after the overlap": {
			steady(statusNames("t3", 3)), fine(map[string]time.Duration{"t3": 5 * time.Minute}, 5*time.Minute),
		},
		"B43 the overlap is the spec's": {
			steady(statusNames("t3", 3), withRotation("", "90m")), fine(
				map[string]time.Duration{"t3": 90 * time.Minute}, 90*time.Minute,
			),
		},
		"B136 only the last token that was replaced stays valid": {
			steady(statusNames("t3", 3), withPendingRevocation("t2", 4*time.Minute), withPendingRevocation("t1", time.Hour)),
			outcome{Do: Revoke, Revoke: []string{"t1", "t2"}},
		},
		"B136 it is the one that was published last": {
			steady(withPendingRevocation("t2", 3*time.Minute), withPendingRevocation("t3", 4*time.Minute)),
			outcome{Do: Revoke, Revoke: []string{"t2"}},
		},
		"B43 a time that was stored while the clock was ahead": {
			steady(withPendingRevocation("t3", 9*time.Hour)),
			fine(map[string]time.Duration{"t3": 5 * time.Minute}, 5*time.Minute),
		},
		"B43 not a second sooner": {
			steady(withPendingRevocation("t3", time.Second)), fine(map[string]time.Duration{"t3": time.Second}, time.Second),
		},
		"B43 when its time has come": {steady(withPendingRevocation("t3", 0)), outcome{Do: Revoke, Revoke: []string{"t3"}}},
		"only what is due": {
			steady(
				withPendingRevocation("t3", time.Minute), withPendingRevocation("t2", -time.Minute),
			), outcome{Do: Revoke, Revoke: []string{"t2"}},
		},
		"what was revoked in this pass is done": {
			steady(
				withPendingRevocation("t3", 0), func(o *Observation) { o.RevokedTokens = []string{"t3"} },
			), activeOutcome(15 * time.Hour),
		},
		"B41 a token that was minted and never published goes at once": {
			steady(alsoListed("lost", 5)), outcome{Do: Revoke, Revoke: []string{"lost"}},
		},
		"B42 a token from before that only the server's list knows may still be in use": {
			steady(alsoListed("t3", 3)), fine(map[string]time.Duration{"t3": 5 * time.Minute}, 5*time.Minute),
		},
		"the first recorded time stays": {
			steady(alsoListed("t3", 3), withPendingRevocation("t3", time.Minute)), fine(
				map[string]time.Duration{"t3": time.Minute}, time.Minute,
			),
		},
		"B42 the published token is never among them": {
			steady(withPendingRevocation("t4", 0), alsoListed("t4", 4)), activeOutcome(15 * time.Hour),
		},
		"half a second is rounded up, not down": {
			steady(func(o *Observation) { o.Now = noon.Add(500 * time.Millisecond) }, statusNames("t3", 3)),
			fine(
				map[string]time.Duration{"t3": 5*time.Minute + 500*time.Millisecond},
				5*time.Minute+500*time.Millisecond,
			),
		},
		"the server cannot be asked: it is tried at the next interval": {
			steady(withPendingRevocation("t3", 0), withOutage()),
			outcome{
				Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "absent", Wake: interval,
				Pending: map[string]time.Duration{"t3": 0},
			},
		},
		"a revocation that fails is retried, and does not affect the credential": {
			steady(withPendingRevocation("t3", 0), failedTo(Revoke, failure.Transient, "")),
			outcome{
				Ready: "True Active", Authenticated: "absent", Synced: "absent", Cut: "absent",
				Wake:    interval,
				Pending: map[string]time.Duration{"t3": 0},
			},
		},
		"mint to token: the minted one gets its overlap": {
			newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour),
				withToken(), publishedSupplied(value), checkedAs(value, 0, accepted),
				alsoListed("t4", 4), func(o *Observation) { o.ServerTokens.Token, o.Secret.Token.Serial = nil, 4 }),
			fine(map[string]time.Duration{"t4": 5 * time.Minute}, 5*time.Minute),
		},
		"mint to token, after a crash: the list knows the minted one": {
			newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour),
				withToken(), publishedSupplied(value), checkedAs(value, 0, accepted),
				alsoListed("t4", 4), func(o *Observation) {
					o.ServerTokens.Token, o.Secret.Token.Serial, o.Session.Status.Token = nil, 4, nil
				}),
			fine(map[string]time.Duration{"t4": 5 * time.Minute}, 5*time.Minute),
		},
		"a supplied token is never revoked": {
			newSession("ci", withCertificate(), publishedPlain(), func(o *Observation) {
				o.Session.Status.Token = &v1alpha1.TokenStatus{ID: "supplied"}
			}),
			outcome{Ready: "True Active", Authenticated: "absent", Synced: "absent", Cut: "absent"},
		},
	})
}

func TestRevokeEverything(t *testing.T) {
	t.Parallel()
	deny := withDeployment(func(d *Deployment) { d.Denied = "no access rule" })
	with := func(options ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, time.Hour), deny},
			options...)...)
	}
	secretGone := withSecret(func(s *Secret) { *s = Secret{} })
	revokedOutcome := outcome{
		RevokeAll: true, Ready: "False AccessDenied", Authenticated: "absent", Synced: "absent", Cut: "absent",
	}
	but := func(change func(*outcome)) outcome {
		o := revokedOutcome
		change(&o)
		return o
	}
	checkRows(t, map[string]row{
		"B31 nothing is minted, nothing is asked": {
			newSession("ci", withMint("bot"), lookedUp("u", "bot"), deny), revokedOutcome,
		},
		"B32 the Secret goes before the token": {with(), outcome{Do: DeleteSecret}},
		"B32 then the token": {
			with(secretGone, alsoListed("t4", 4)), outcome{Do: Revoke, Revoke: []string{"t4"}},
		},
		"B32 and those that had an overlap left": {
			with(secretGone, withPendingRevocation("t3", time.Minute)), outcome{Do: Revoke, Revoke: []string{"t3", "t4"}},
		},
		"B32 a pause protects nothing": {with(withPause), outcome{Do: DeleteSecret}},
		"B32 the pause does not keep the token either": {
			with(withPause, secretGone), outcome{Do: Revoke, Revoke: []string{"t4"}},
		},
		"B32 all is gone": {
			with(secretGone, func(o *Observation) { o.RevokedTokens = []string{"t4"} }), revokedOutcome,
		},
		"B40 a token that nothing but the Secret names is noted before the Secret goes": {
			with(statusForgotten, withoutServerTokens),
			but(func(o *outcome) { o.Wake, o.Pending = time.Second, map[string]time.Duration{"t4": 0} }),
		},
		"B40 then the Secret goes": {with(statusForgotten, withoutServerTokens, withPendingRevocation("t4", 0)),
			outcome{Do: DeleteSecret}},
		"the server cannot be asked": {
			with(secretGone, withOutage()),
			but(func(o *outcome) { o.Wake, o.Pending = interval, map[string]time.Duration{"t4": 0} }),
		},
		"the Secret could not be deleted: the token stays until it is": {
			with(failedTo(DeleteSecret, failure.Transient, "")),
			but(func(o *outcome) { o.Wake, o.Pending = interval, map[string]time.Duration{"t4": 0} }),
		},
		"B23 a foreign Secret is left alone, and nothing stays minted": {
			newSession(
				"ci", withMint("bot"), withPublishedToken("t4", 4, 0), func(o *Observation) { o.Secret = Secret{Foreign: true} },
			),
			outcome{Do: Revoke, Revoke: []string{"t4"}},
		},
		"B23 a foreign Secret is a conflict that says so": {
			newSession("ci", withMint("bot"), func(o *Observation) { o.Secret = Secret{Foreign: true} }),
			outcome{
				RevokeAll: true, Ready: "False SecretConflict", Authenticated: "absent", Synced: "False SecretConflict",
				Cut: "absent",
			},
		},
		"a supplied token is removed and not revoked": {
			newSession("ci", withToken(), publishedSupplied(value), deny, secretGone), revokedOutcome,
		},
	})
}

func TestPendingRevocationsFitIntoStatus(t *testing.T) {
	t.Parallel()
	o := newSession(
		"ci", withMint("bot"), withPublishedToken("t1", 1000, time.Hour),
		withOutage(),
	)
	for serial := range int64(100) {
		alsoListed(fmt.Sprintf("old-%d", serial), serial)(&o)
	}
	withPendingRevocation("first", time.Second)(&o)
	p := Decide(o)
	if len(p.PendingRevocations) != maxPendingRevocations || p.PendingRevocations[0].ID != "first" {
		t.Errorf(
			"%d tokens are noted, beginning with %s; want %d, those that go first", len(p.PendingRevocations),
			p.PendingRevocations[0].ID, maxPendingRevocations,
		)
	}
}
