// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// withOAuth is a session that is registered as a client.
func withOAuth() option {
	return func(o *Observation) {
		o.Session.Spec.Auth = v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}
		o.Grant = Grant{Exists: true, Registered: true}
	}
}

func withGrant(change func(*Grant)) option { return func(o *Observation) { change(&o.Grant) } }

// asked sets a consent request, made so long ago.
func withConsentRequest(ago time.Duration) option {
	return withGrant(func(g *Grant) { g.URL, g.URLEnds = "https://coder.example/authorize", noon.Add(10*time.Minute-ago) })
}

// holding is a grant of 24 hours, given so long ago.
func withHeldGrant(age time.Duration) option {
	return withGrant(func(g *Grant) {
		g.Held, g.Refreshable, g.ID, g.Fingerprint = true, true, "granted", value
		g.IssuedAt, g.ExpiresAt, g.Lifetime = noon.Add(-age), noon.Add(24*time.Hour-age), 24*time.Hour
	})
}

// publishedGrant is a grant that is in the Secret and was accepted just now.
func publishedGrant(age time.Duration) option {
	return func(o *Observation) {
		withHeldGrant(age)(o)
		checkedAs(value, 0, accepted)(o)
		o.Secret = Secret{
			Exists: true, InSync: true,
			Token: &Published{ID: "granted", Fingerprint: value, ExpiresAt: noon.Add(24*time.Hour - age)},
		}
		withReady(true, v1alpha1.ReasonActive)(o)
	}
}

func withEndedGrant(reason string, ago time.Duration, consented bool) option {
	return withGrant(func(g *Grant) {
		g.Ended, g.EndedReason, g.EndedAt, g.Consented = "it has ended", reason, noon.Add(-ago), consented
	})
}

func TestDecideOAuth(t *testing.T) {
	t.Parallel()
	with := func(options ...option) Observation {
		return newSession("ci", append([]option{withOAuth()}, options...)...)
	}
	waiting := func(reason, authenticated string, wake time.Duration) outcome {
		return outcome{
			Ready: "False " + reason, Authenticated: authenticated, Synced: "absent", Cut: "absent", Wake: wake,
		}
	}
	spent := func(ago time.Duration) option { return withGrant(func(g *Grant) { g.Spent = noon.Add(-ago) }) }
	back := func(ago time.Duration) option { return withGrant(func(g *Grant) { g.SpentAt = noon.Add(-ago) }) }
	checkRows(t, map[string]row{
		"B61 no callback, or no state that can be kept": {
			with(withGrant(func(g *Grant) { g.Problem = "no callback" })), outcome{
				Ready: "False ConfigInvalid", Synced: "absent", Wake: interval,
			},
		},
		"the deployment is not verified": {
			with(withDeployment(func(d *Deployment) { d.Result = refused })),
			outcome{Ready: "False AwaitingDeployment", Authenticated: "absent", Synced: "absent", Wake: interval},
		},
		"B61, B73 the server does not know the session": {
			with(publishedGrant(0), withGrant(func(g *Grant) { g.Registered = false })), outcome{Do: RegisterClient},
		},
		"a finalizer comes first": {
			with(withGrant(func(g *Grant) { g.Registered = false }), noFinalizer), outcome{Do: AddFinalizer},
		},
		"no consent was requested": {with(), outcome{Do: StartAuthorization}},
		"consent was requested": {
			with(withConsentRequest(time.Minute)), waiting(v1alpha1.ReasonAwaitingAuthorization, "absent", 9*time.Minute),
		},
		"B63 the request has ended: there is a new one": {
			with(withConsentRequest(10 * time.Minute)), outcome{Do: StartAuthorization},
		},
		"B62 a code is being redeemed": {
			with(withConsentRequest(time.Minute), back(time.Second)), waiting(v1alpha1.ReasonVerifying, "absent",
				59*time.Second),
		},
		"B62 the code was not redeemed": {
			with(withConsentRequest(2*time.Minute), back(time.Minute)), outcome{Do: StartAuthorization},
		},
		"the person declined: another may be asked": {
			with(withConsentRequest(time.Minute), back(time.Second), withEndedGrant("AccessDenied", 0, false)),
			outcome{Do: StartAuthorization},
		},
		"declined, and asked again": {
			with(withConsentRequest(0), withEndedGrant("AccessDenied", time.Second, false)),
			waiting(v1alpha1.ReasonAwaitingAuthorization, "absent", 10*time.Minute),
		},
		"B68 the grant is gone: there is a fresh URL": {
			with(withEndedGrant("InvalidGrant", 0, true)), outcome{Do: StartAuthorization},
		},
		"B68 and a person has to consent again": {
			with(withConsentRequest(0), withEndedGrant("InvalidGrant", 0, true)),
			waiting(v1alpha1.ReasonReauthenticationRequired, "False ReauthenticationRequired", 10*time.Minute),
		},
		"B68 an exchange after that is not judged by it": {
			with(withConsentRequest(time.Minute), back(time.Second), withEndedGrant("InvalidGrant", time.Minute, true)),
			waiting(v1alpha1.ReasonVerifying, "False Verifying", 59*time.Second),
		},
		"a grant is checked before it is published": {with(withHeldGrant(0)), outcome{Do: CheckCredential}},
		"then it is published": {
			with(withHeldGrant(0), checkedAs(value, 0, accepted)), outcome{Do: Publish},
		},
		"B65 all is well until a third is left": {with(publishedGrant(time.Hour)), activeOutcome(interval)},
		"B65 it is refreshed in time":           {with(publishedGrant(16 * time.Hour)), outcome{Do: RefreshGrant}},
		"B65 by the spec": {
			with(publishedGrant(4*time.Hour), withRotation("21h", "5m")), outcome{Do: RefreshGrant},
		},
		"B53 by the server's clock": {
			with(publishedGrant(15*time.Hour), func(o *Observation) { o.Skew = 4 * time.Hour }),
			outcome{Do: RefreshGrant},
		},
		"B65 a refresh that fails is tried again": {
			with(publishedGrant(16*time.Hour), failedTo(RefreshGrant, failure.Transient, "")),
			outcome{
				Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "absent", Wake: interval,
			},
		},
		"B67 while a process may be spending it": {
			with(publishedGrant(16*time.Hour), spent(59*time.Second)),
			outcome{Ready: "True Active", Authenticated: "Unknown Verifying", Synced: "absent", Wake: time.Second},
		},
		"B67 when no process can be any more": {
			with(publishedGrant(16*time.Hour), spent(time.Minute)), outcome{Do: ResolveInterruptedRefresh},
		},
		"B32 the consent was for more than is allowed now": {
			with(publishedGrant(0), withGrant(func(g *Grant) { g.Exceeds = "no" })), outcome{Do: EndGrant},
		},
		"B70 the consent does not cover what is wanted": {
			with(withHeldGrant(0), withGrant(func(g *Grant) { g.Lacks = "workspace:ssh" })), outcome{Do: EndGrant},
		},
		"a grant that cannot be refreshed lives to its end": {
			with(publishedGrant(23*time.Hour), withGrant(func(g *Grant) { g.Refreshable = false })),
			activeOutcome(interval),
		},
		"a grant that cannot be refreshed has ended": {
			with(publishedGrant(24*time.Hour), withGrant(func(g *Grant) { g.Refreshable = false })), outcome{Do: EndGrant},
		},
		"a static client that a session of the user has": {
			with(withHeldGrant(0), checkedAs(value, 0, accepted), withGrant(func(g *Grant) { g.Shared = "builds/other" })),
			outcome{Do: EndGrant},
		},
		"that one is told why": {
			with(withConsentRequest(0), withEndedGrant("ClientShared", 0, true)),
			waiting(v1alpha1.ReasonConfigInvalid, "False ConfigInvalid", 10*time.Minute),
		},
		"B66 the token is refused: the grant is refreshed": {
			with(withHeldGrant(0), checkedAs(value, 0, refused)), outcome{Do: RefreshGrant},
		},
		"B66 refused an interval after it was refreshed for that: once more": {
			with(withHeldGrant(interval), withGrant(func(g *Grant) { g.RefreshedAfterRefusal = true }), checkedAs(value,
				0, refused)),
			outcome{Do: RefreshGrant},
		},
		"a grant that was issued and could not be stored comes first": {
			with(withHeldGrant(0), withDeletion(0), withGrant(func(g *Grant) { g.Unstored = true })), outcome{Do: StoreGrant},
		},
		"B66 refused although it was refreshed: it waits": {
			with(withHeldGrant(0), withGrant(func(g *Grant) { g.RefreshedAfterRefusal = true }), checkedAs(value, 0, refused)),
			outcome{
				Ready: "False Suspended", Authenticated: "False Unauthorized", Synced: "absent",
				Suspended: v1alpha1.ReasonUnauthorized, Wake: interval,
			},
		},
		"B15 paused": {with(withPause), outcome{Ready: "False Paused"}},
		"B71 the method was switched: first the new token": {
			newSession("ci", withMint("bot"), withGrant(func(g *Grant) { g.Exists = true })), outcome{Do: LookUpUser},
		},
		"B71 the method was switched: then the grant goes": {
			newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour),
				withGrant(func(g *Grant) { g.Exists = true })),
			outcome{Do: ForgetGrant},
		},
		"B71 not while it is still published": {
			newSession(
				"ci", withCertificate(), withOutage(), publishedGrant(0),
				withGrant(func(g *Grant) { g.Exists = true }),
			),
			outcome{Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "absent", Wake: interval},
		},
		"B32 access withdrawn: first the Secret": {
			with(publishedGrant(0), withDeployment(func(d *Deployment) { d.Denied = "no" })), outcome{Do: DeleteSecret},
		},
		"B32 access withdrawn: then the grant": {
			with(withHeldGrant(0), withDeployment(func(d *Deployment) { d.Denied = "no" })), outcome{Do: ForgetGrant},
		},
		"B71 deleted: first the Secret": {
			with(publishedGrant(0), withDeletion(0)), outcome{Do: DeleteSecret},
		},
		"B71 deleted: then the grant": {with(withHeldGrant(0), withDeletion(0)),
			outcome{Do: ForgetGrant}},
		"B71 deleted: a registration without a grant, too": {with(withDeletion(0)), outcome{Do: ForgetGrant}},
		"deleted: all is gone": {
			with(withGrant(func(g *Grant) { *g = Grant{} }), withDeletion(0)), outcome{Do: RemoveFinalizer},
		},
		"deleted: the server cannot be reached": {
			with(withHeldGrant(0), withDeletion(time.Minute), failedTo(ForgetGrant, failure.Transient, "")),
			outcome{RevokeAll: true, Ready: "False AwaitingDeployment", Wake: 9 * time.Minute},
		},
		"deleted: it is given up, and named": {
			with(withHeldGrant(0), withDeletion(10*time.Minute), failedTo(ForgetGrant, failure.Transient, "")),
			outcome{Do: RemoveFinalizer, Abandoned: []string{"granted"}},
		},
	})
}

// The consent URL is shown as long as it can be used.
func TestAuthorizationIsShown(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		seen Observation
		want bool
	}{
		"while a person is asked": {newSession("ci", withOAuth(), withConsentRequest(0)), true},
		"while the deployment is out of reach": {
			newSession("ci", withOAuth(), withConsentRequest(0),
				withOutage()), true,
		},
		"not of a paused session": {newSession("ci", withOAuth(), withConsentRequest(0), withPause), false},
		"not after it has ended": {
			newSession("ci", withOAuth(), withConsentRequest(10*time.Minute), failedTo(StartAuthorization,
				failure.Transient, "")), false,
		},
		"not after a person came back": {
			newSession("ci", withOAuth(), withConsentRequest(0), withGrant(func(g *Grant) { g.SpentAt = noon })), false,
		},
		"not with a grant":                  {newSession("ci", withOAuth(), withConsentRequest(0), publishedGrant(0)), false},
		"not after the method was switched": {newSession("ci", withOAuth(), withConsentRequest(0), withMint("bot")), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Decide(tc.seen).Authorization; (got != nil) != tc.want {
				t.Errorf("shown is %+v", got)
			}
		})
	}
}

func TestStatusDescribesTheGrant(t *testing.T) {
	t.Parallel()
	o := newSession(
		"ci", withOAuth(), publishedGrant(time.Hour), withGrant(func(g *Grant) { g.Scopes = []string{"workspace:read"} }),
	)
	status := v1alpha1.CoderSessionStatus{}
	Decide(o).Apply(&status, 1, noon)
	want := &v1alpha1.TokenStatus{
		ID: "granted", IssueTime: statusTime(noon.Add(-time.Hour)),
		ExpirationTime: statusTime(noon.Add(23 * time.Hour)), Scopes: []string{"workspace:read"},
	}
	if diff := cmp.Diff(want, status.Token); diff != "" {
		t.Errorf("the token (-want +got):\n%s", diff)
	}
	if status.NextRefreshTime == nil || !status.NextRefreshTime.Time.Equal(noon.Add(15*time.Hour)) {
		t.Errorf("next refresh at %v", status.NextRefreshTime)
	}
}
