// SPDX-License-Identifier: Apache-2.0

package session

import (
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// B136: renewals on request do not follow each other closer than a minute, once a token waits for its
// revocation or several were minted, and status says when the next one comes.
func TestRenewalsAreThrottled(t *testing.T) {
	t.Parallel()
	aged := func(age time.Duration, serial int64, options ...option) Observation {
		all := []option{
			withMint("bot"), withPublishedToken("t", serial, age), lookedUp("id-bot", "bot"), withRenewRequest("two", "one"),
		}
		return newSession("ci", append(all, options...)...)
	}
	pending := withPendingRevocation("former", time.Hour)
	for name, tc := range map[string]struct {
		seen Observation
		do   Action
		wake time.Duration // zero: not throttled
	}{
		"the first renewal of a new session": {aged(time.Second, 1), Mint, 0},
		"the token before it is still valid": {aged(20*time.Second, 2, pending), Nothing, 40 * time.Second},
		"a minute later":                     {aged(time.Minute, 2, pending), Mint, 0},
		"many renewals with a short overlap": {aged(time.Second, 4), Nothing, 59 * time.Second},
		"a token that is from the future":    {aged(-time.Hour, 4), Mint, 0},
		"the spec has changed, too":          {aged(time.Second, 4, withLifetime("2h")), Mint, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Decide(tc.seen)
			if p.Action != tc.do {
				t.Fatalf("the plan is %q, want %q", p.Action, tc.do)
			}
			if tc.wake == 0 {
				return
			}
			ready := p.findCondition(v1alpha1.ConditionReady)
			if want := "the requested renewal follows at " + noon.Add(tc.wake).Format(time.RFC3339); !p.isActive() ||
				!strings.Contains(ready.Message, want) || !p.RequeueAt.Equal(noon.Add(tc.wake)) ||
				p.HandledRenewalRequest != "one" {
				t.Errorf("Ready is %+v, again at %s, handled %q", ready, p.RequeueAt, p.HandledRenewalRequest)
			}
		})
	}
}

// B43, B136: while workloads are yet to be restarted, which may use two earlier tokens already, no further
// one is minted on request or for a changed spec, but one before the published one ends.
func TestNoFurtherTokenDuringARollout(t *testing.T) {
	t.Parallel()
	rolling := func(age time.Duration, options ...option) Observation {
		all := []option{
			withMint("bot"), withPublishedToken("t5", 5, age), lookedUp("id-bot", "bot"),
			withPendingRevocation("t4", -time.Minute), withPendingRevocation("t3", -time.Hour),
			func(o *Observation) {
				o.Session.Spec.Restart = []v1alpha1.RestartTarget{{Kind: v1alpha1.RestartDeployment, Name: "app"}}
			},
		}
		return newSession("ci", append(all, options...)...)
	}
	rolledOut := func(o *Observation) { o.Session.Spec.Restart = nil }
	for name, tc := range map[string]struct {
		seen Observation
		do   Action
	}{
		"a request":                    {rolling(time.Hour, withRenewRequest("two", "one")), Nothing},
		"another spec":                 {rolling(time.Hour, withLifetime("2h")), Nothing},
		"a request after it":           {rolling(time.Hour, withRenewRequest("two", "one"), rolledOut), Mint},
		"another spec after it":        {rolling(time.Hour, withLifetime("2h"), rolledOut), Mint},
		"it is due, whatever is asked": {rolling(20 * time.Hour), Mint},
	} {
		p := Decide(tc.seen)
		ready := p.findCondition(v1alpha1.ConditionReady)
		waits := ready != nil && strings.Contains(ready.Message, "another token follows when")
		if asked := strings.HasPrefix(name, "a"); p.Action != tc.do || waits != (asked && tc.do == Nothing) {
			t.Errorf("%s: the plan is %q, and Ready says so: %t", name, p.Action, waits)
		}
	}
}

// A renewal on request is another token for a minted session, a refresh for a grant, and a check
// for any other credential. It is recorded as handled when it is done, and not earlier.
func TestARenewalOnRequest(t *testing.T) {
	t.Parallel()
	minted := func(options ...option) Observation {
		return newSession(
			"ci",
			append([]option{withMint("bot"), withPublishedToken("t4", 4, time.Hour), lookedUp("id-bot", "bot")}, options...)...,
		)
	}
	supplied := func(options ...option) Observation {
		return newSession(
			"own",
			append(
				[]option{withToken(), publishedSupplied(value), checkedAs(value, time.Minute, accepted)}, options...,
			)...,
		)
	}
	edge := func(options ...option) Observation {
		return newSession(
			"edge",
			append([]option{withCertificate(), publishedPlain(), checkedAs("", time.Minute, accepted)}, options...)...,
		)
	}
	oauth := func(options ...option) Observation {
		return newSession("ada", append([]option{withOAuth(), publishedGrant(0)}, options...)...)
	}
	checkedFor := func(request string) option {
		return func(o *Observation) { o.CredentialCheck.RenewalRequest = request }
	}
	refreshedFor := func(request string) option { return func(o *Observation) { o.RefreshedForRequest = request } }
	unrefreshable := func(o *Observation) { o.Grant.Refreshable = false }
	suspended := func(o *Observation) { o.TargetUser.Suspended = true }
	down := withOutage()
	for name, tc := range map[string]struct {
		seen    Observation
		do      Action
		handled string
	}{
		"minted: no request":                      {minted(), Nothing, ""},
		"minted: another token":                   {minted(withRenewRequest("one", "")), Mint, ""},
		"minted: one for each request":            {minted(withRenewRequest("two", "one"), mintedFor("one")), Mint, ""},
		"minted: it was minted for the request":   {minted(withRenewRequest("one", ""), mintedFor("one")), Nothing, "one"},
		"minted: it was served before":            {minted(withRenewRequest("one", "one")), Nothing, "one"},
		"minted: the request is taken back":       {minted(withRenewRequest("", "one"), mintedFor("one")), Nothing, "one"},
		"minted: taken back before it was served": {minted(withRenewRequest("", "")), Nothing, ""},
		"minted: a Secret that is out of date": {
			minted(withRenewRequest("one", ""), mintedFor("one"), withSecret(func(s *Secret) { s.InSync = false })), Publish, "",
		},
		"minted: the first token serves it too": {
			newSession("ci", withMint("bot"), withRenewRequest("one", ""), lookedUp("id-bot", "bot")), Mint, "",
		},
		"minted: the user is suspended":     {minted(withRenewRequest("one", ""), suspended), Nothing, ""},
		"minted: the server is unreachable": {minted(withRenewRequest("one", ""), down), Nothing, ""},
		"minted: settings change": {
			minted(withRenewRequest("one", ""), withDeployment(func(d *Deployment) { d.Settling = true })), Nothing, "",
		},
		"minted: paused": {minted(withRenewRequest("one", ""), withPause), Nothing, ""},
		"minted: access is denied": {
			minted(withRenewRequest("one", ""), withDeployment(func(d *Deployment) { d.Denied = "no" })), DeleteSecret, "",
		},

		"supplied: the server is asked": {supplied(withRenewRequest("one", "")), CheckCredential, ""},
		"supplied: it was":              {supplied(withRenewRequest("one", ""), checkedFor("one")), Nothing, "one"},
		"supplied: for an earlier request": {supplied(withRenewRequest("two", "one"), checkedFor("one")),
			CheckCredential, ""},
		"supplied: it was refused": {
			supplied(withRenewRequest("one", ""), checkedAs(value, 0, refused), checkedFor("one")), Nothing, "",
		},
		"supplied: no answer": {
			supplied(withRenewRequest("one", ""), checkedAs(value, 0, unreachable), checkedFor("one")), Nothing, "",
		},
		"supplied: after a restart": {
			supplied(withRenewRequest("one", "one"), func(o *Observation) { o.CredentialCheck = CredentialCheck{} }),
			CheckCredential, "",
		},
		"supplied: the asking fails": {
			supplied(withRenewRequest("one", ""), failedTo(CheckCredential, failure.Transient, "")), Nothing, "",
		},
		"supplied: the deployment is unreachable": {supplied(withRenewRequest("one", ""), down), Nothing, ""},
		"certificate: the server is asked":        {edge(withRenewRequest("one", "")), CheckCredential, ""},
		"certificate: it was":                     {edge(withRenewRequest("one", ""), checkedFor("one")), Nothing, "one"},
		"certificate: the request was served":     {edge(withRenewRequest("one", "one")), Nothing, "one"},

		"grant: it is refreshed": {oauth(withRenewRequest("one", "")), RefreshGrant, ""},
		"grant: then the server is asked about the new token": {
			oauth(withRenewRequest("one", ""), refreshedFor("one")), CheckCredential, "",
		},
		"grant: it was, and is published": {
			oauth(withRenewRequest("one", ""), refreshedFor("one"), checkedFor("one")), Nothing, "one",
		},
		"grant: it was, and is not yet": {
			oauth(
				withRenewRequest("one", ""), refreshedFor("one"), checkedFor("one"),
				withSecret(func(s *Secret) { s.Token.Fingerprint = "old" }),
			),
			Publish, "",
		},
		"grant: the server does not say yet": {
			oauth(
				withRenewRequest("one", ""), refreshedFor("one"), checkedAs(value, 0, unreachable), checkedFor("one"),
				withSecret(func(s *Secret) { s.Token.Fingerprint = "old" }),
			),
			Nothing, "",
		},
		// B136
		"grant: another request right after the first": {
			oauth(withRenewRequest("two", "one"), refreshedFor("one"), checkedFor("two")), Nothing, "one",
		},
		"grant: another request a minute later": {
			oauth(withRenewRequest("two", "one"), refreshedFor("one"), checkedFor("two"), publishedGrant(time.Minute)),
			RefreshGrant, "",
		},
		"grant: another request, by a clock that was set back": {
			oauth(withRenewRequest("two", "one"), refreshedFor("one"), checkedFor("two"), publishedGrant(-time.Second)),
			RefreshGrant, "",
		},
		"grant: the refresh fails": {
			oauth(withRenewRequest("one", ""), failedTo(RefreshGrant, failure.Transient, "")), Nothing, "",
		},
		"grant: nothing to refresh it with": {oauth(withRenewRequest("one", ""), unrefreshable), CheckCredential, ""},
		"grant: so the server is asked": {
			oauth(withRenewRequest("one", ""), unrefreshable, checkedFor("one")), Nothing, "one",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := Decide(tc.seen)
			if plan.Action != tc.do {
				t.Fatalf("does %q, want %q", plan.Action, tc.do)
			}
			if plan.Action != Nothing || plan.SkipStatusUpdate {
				return
			}
			status := writeStatus(tc.seen, plan, tc.seen.Session.Generation)
			if status.LastHandledRenewAt != tc.handled {
				t.Errorf("handled is %q, want %q", status.LastHandledRenewAt, tc.handled)
			}
		})
	}
}

// B136: a session whose grant was refreshed on request just now says when the next requested refresh follows,
// and is looked at then.
func TestARefreshOnRequestWaits(t *testing.T) {
	t.Parallel()
	const age = 20 * time.Second
	o := newSession("ada", withOAuth(), publishedGrant(age), withRenewRequest("two", "one"))
	o.RefreshedForRequest, o.CredentialCheck.RenewalRequest = "one", "two"
	plan := Decide(o)
	ready := plan.findCondition(v1alpha1.ConditionReady)
	want := "the requested renewal follows at " + noon.Add(40*time.Second).Format(time.RFC3339)
	if ready == nil || !strings.Contains(ready.Message, want) {
		t.Errorf("Ready is %+v, want a message with %q", ready, want)
	}
	if got := plan.RequeueAt; !got.Equal(noon.Add(renewalInterval - age)) {
		t.Errorf("it is looked at again at %s", got)
	}
}

// A token records the renewal request that it was minted for, so that it is not minted again after
// a crash. A token that was minted without a request, or by an operator that knew no requests, has
// none.
func TestWhatATokenIsMintedFor(t *testing.T) {
	t.Parallel()
	mint := &v1alpha1.MintAuth{User: "bot", Lifetime: "24h"}
	plain := SpecDigest(mint, "server")
	one, two := withRenewalRequest(plain, "one"), withRenewalRequest(plain, "two")
	switch {
	case withRenewalRequest(plain, "") != plain:
		t.Error("without a request the digest changes")
	case one == two || one == plain:
		t.Error("two requests have the same digest")
	case trimRenewalRequest(one) != plain || trimRenewalRequest(plain) != plain:
		t.Errorf("the spec digest of %q is %q, want %q", one, trimRenewalRequest(one), plain)
	case !isSameServer(one, plain) || isSameServer(one, SpecDigest(mint, "other")):
		t.Error("the server is not told from another one")
	}
	o := newSession("ci", withMint("bot"), lookedUp("id-bot", "bot"), withRenewRequest("one", ""))
	if got := Decide(o).Mint.SpecDigest; got != withRenewalRequest(o.SpecDigest, "one") {
		t.Errorf("minted for %q", got)
	}
}

// A request that cannot be served does not cause a busy loop.
func TestAPendingRequestWaits(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]authcheck.Result{"refused": refused, "unreachable": unreachable} {
		o := newSession("own", withToken(), publishedSupplied(value), checkedAs(value, 0, v), withRenewRequest("one", ""))
		o.CredentialCheck.RenewalRequest = "one"
		if p := Decide(o); p.Action != Nothing || !p.RequeueAt.After(noon) {
			t.Errorf("%s: does %q and wakes at %s", name, p.Action, p.RequeueAt)
		}
	}
}

// A request that was looked at is recorded whether it was served or not, so that those who wait for it
// know that the conditions are about it.
func TestObservedRenewals(t *testing.T) {
	t.Parallel()
	const request = "2026-03-01T11:59:00Z"
	asked := func(o *Observation) {
		o.Session.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: request}
		o.Session.Status.ObservedRenewAt = "former"
	}
	checkedFor := func(o *Observation) { o.CredentialCheck.RenewalRequest = request }
	for name, tc := range map[string]struct {
		o        Observation
		observed string
	}{
		"refused":       {newSession("ci", withToken(), asked, checkedAs(value, 0, refused), checkedFor), request},
		"not asked yet": {newSession("ci", withToken(), asked, checkedAs(value, 0, refused)), "former"},
		"the user is gone": {newSession("ci", withMint("bot"), asked, func(o *Observation) {
			o.TargetUser = TargetUser{Known: true, Missing: true}
		}), request},
		"no answer": {newSession("ci", withToken(), asked, publishedSupplied(value),
			withReady(false, v1alpha1.ReasonSuspended),
			withOutage()), "former"},
		"a mistake in the spec": {newSession("ci", withMint("bot"), asked, failedTo(Mint, failure.Config, "")), request},
		"an API server that refuses": {
			newSession("ci", withMint("bot"), asked,
				failedTo(Publish, failure.Refused, v1alpha1.ReasonAPIServerRefused)), "former"},
		"settings change": {newSession("ci", withToken(), asked, withReady(true, v1alpha1.ReasonActive),
			withDeployment(func(d *Deployment) {
				d.Settling = true
			})), "former"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status := *tc.o.Session.Status.DeepCopy()
			if p := Decide(tc.o); p.Action == Nothing {
				p.Apply(&status, 1, noon) // nothing in a status that is skipped
			}
			if status.ObservedRenewAt != tc.observed || status.LastHandledRenewAt != "" {
				t.Errorf("observed is %q, want %q; handled is %q", status.ObservedRenewAt, tc.observed, status.LastHandledRenewAt)
			}
		})
	}
}
