// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// Which policy decides if several could.
func TestPolicies(t *testing.T) {
	t.Parallel()
	with := func(options ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, time.Hour)}, options...)...)
	}
	due := func(options ...option) Observation {
		return with(
			append([]option{lookedUp("id-bot", "bot"), withSecret(func(s *Secret) { *s = Secret{} })}, options...)...,
		)
	}
	settling := withDeployment(func(d *Deployment) { d.Settling = true })
	unverified := withDeployment(func(d *Deployment) { d.Result = authcheck.Result{} })
	broken := func(o *Observation) { o.TemplateError = "template .netrc: no such field" }
	checkRows(t, map[string]row{
		"B15 paused: no request, no write": {
			due(withPause), outcome{Ready: "False Paused", Pending: map[string]time.Duration{"t4": 5 * time.Minute}},
		},
		"B15 paused: what is due is not revoked": {
			with(withPause, withPendingRevocation("t3", -time.Hour)),
			outcome{Ready: "False Paused", Pending: map[string]time.Duration{"t3": -time.Hour}},
		},
		"B32 paused: what is due and not allowed is revoked": {
			with(withPause, withPendingRevocation("t3", time.Hour), func(o *Observation) {
				o.ServerTokens.Others = []Listed{{ID: "t3", Serial: 3, Denied: true}}
			}),
			outcome{Do: Revoke, Revoke: []string{"t3"}},
		},
		"B136 paused: a minted token that is not asked for goes": {
			with(withPause, withToken()), outcome{Do: DeleteSecret},
		},
		"B136 and is revoked": {
			newSession("ci", withToken(), withPause, withPendingRevocation("t4", 0)),
			outcome{Do: Revoke, Revoke: []string{"t4"}},
		},
		"B136 a minted token that is not asked for, above the limit": {
			with(withToken(), retiredByPolicy(v1alpha1.RetirementSessionLimit, time.Hour)), outcome{Do: DeleteSecret},
		},
		"B15 paused: an withNewGeneration Secret stays edited": {
			with(withPause, withSecret(func(s *Secret) { s.InSync = false })), outcome{Ready: "False Paused"},
		},
		"B08 settling: status stays as it is": {due(settling), outcome{Keep: true, Wake: time.Second}},
		"B08 settling: a refusal is not believed": {
			newSession("ci", withToken(), checkedAs(value, 0, refused), withReady(true, v1alpha1.ReasonActive), settling),
			outcome{Keep: true, Wake: time.Second},
		},
		"B111 settling, and there is no status yet": {
			newSession("ci", withToken(), settling), outcome{Ready: "False Verifying", Wake: time.Second},
		},
		"settling, and the session was just created": {
			newSession("ci", withToken(), settling, createdAgo(200*time.Millisecond)),
			outcome{Keep: true, Wake: 800 * time.Millisecond},
		},
		"B08 settling: nor is a failure": {
			due(settling, failedTo(Mint, failure.Denied, v1alpha1.ReasonUnauthorized)), outcome{Keep: true, Wake: time.Second},
		},
		"B08 settling: what is due is not revoked": {
			with(settling, withPendingRevocation("t3", 0)), outcome{Keep: true, Wake: time.Second},
		},
		"B11 a verification whose settings moved": {
			due(withDeployment(func(d *Deployment) { d.Result = unsettling })), outcome{Keep: true, Wake: time.Second},
		},
		"B54 after a restart status stays until the deployment was verified": {
			with(unverified), outcome{Keep: true, Wake: interval},
		},
		"B22 a template that cannot be rendered: nothing is minted for it": {
			due(broken), outcome{
				Ready: "False ConfigInvalid", Synced: "False TemplateInvalid",
				Pending: map[string]time.Duration{"t4": 5 * time.Minute}, Wake: 5 * time.Minute,
			},
		},
		"B110 a Secret that is too large: nothing is minted for it": {
			due(func(o *Observation) { o.SizeProblem = "the Secret would have 2000000 bytes" }), outcome{
				Ready: "False ConfigInvalid", Synced: "False SecretTooLarge",
				Pending: map[string]time.Duration{"t4": 5 * time.Minute}, Wake: 5 * time.Minute,
			},
		},
		"what was minted stays until there is a grant": {
			with(
				withSpec(func(s *v1alpha1.CoderSessionSpec) { s.Auth = v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}} }),
			), outcome{Do: RegisterClient},
		},
		"B31 access comes before everything but deletion": {
			with(settling, withPause, withDeployment(func(d *Deployment) { d.Denied = "no" })), outcome{Do: DeleteSecret},
		},
	})
}

func TestEveryPlanMirrorsWhatIsPublished(t *testing.T) {
	t.Parallel()
	used := noon.Add(-30 * time.Minute)
	listed := newSession(
		"ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour),
		func(o *Observation) { o.ServerTokens.Token.LastUsedAt = used },
	)
	unread := newSession(
		"ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour), withoutServerTokens,
		func(o *Observation) { o.Session.Status.Token.LastUsedTime = statusTime(used) },
	)
	forged := newSession(
		"ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour), withoutServerTokens,
		func(o *Observation) { o.Secret.Token.Serial = 1 },
	)
	ends := statusTime(noon.Add(23 * time.Hour))
	full := &v1alpha1.TokenStatus{
		ID: "t4", Name: "cso-t4", Serial: 4, IssueTime: statusTime(
			noon.Add(-time.Hour),
		), ExpirationTime: ends, LastUsedTime: statusTime(used), Scopes: []string{"coder:all"},
	}
	unused := full.DeepCopy()
	unused.LastUsedTime = nil
	for name, tc := range map[string]struct {
		seen Observation
		want *v1alpha1.TokenStatus
	}{
		"from the list":                                    {listed, full},
		"B54 before the list is read, as it was":           {unread, full},
		"a serial that was lowered in the Secret is known": {forged, unused},
		"before status names it": {
			newSession(
				"ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour), statusForgotten, withoutServerTokens,
				lookedUp("id-bot", "bot"),
			),
			&v1alpha1.TokenStatus{ID: "t4", Serial: 4, ExpirationTime: ends},
		},
		"a supplied token has no serial": {
			newSession("ci", withToken(), publishedSupplied(value), checkedAs(value, 0, accepted), func(o *Observation) {
				o.CredentialCheck.Scopes, o.Secret.Token.Serial = []string{"workspace:read"}, 4
			}),
			&v1alpha1.TokenStatus{ID: "supplied", Scopes: []string{"workspace:read"}},
		},
		"B54 a grant was issued by the server's clock, whatever the operator's was": {
			newSession("ci", withOAuth(), publishedGrant(time.Hour), withGrant(func(g *Grant) {
				g.IssuedAt, g.Scopes = noon.Add(3*time.Hour), []string{"coder:all"}
			})),
			&v1alpha1.TokenStatus{
				ID: "granted", IssueTime: statusTime(noon.Add(-time.Hour)), ExpirationTime: ends, Scopes: []string{"coder:all"},
			},
		},
		"no token":  {newSession("ci", withCertificate(), publishedPlain()), nil},
		"no Secret": {newSession("ci", withMint("bot")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.want == nil {
				if got := Decide(tc.seen).Token; got != nil {
					t.Errorf("status says %v of no token", got)
				}
				return
			}
			status := v1alpha1.CoderSessionStatus{}
			Decide(tc.seen).Apply(&status, 3, noon)
			want, got := v1alpha1.CoderSessionStatus{Token: tc.want}, v1alpha1.CoderSessionStatus{Token: status.Token}
			if diff := diffStatus(want, got); tc.seen.Secret.Exists && diff != "" {
				t.Errorf("the token is described otherwise (-want +got):\n%s", diff)
			}
		})
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	o := newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour))
	status := *o.Session.Status.DeepCopy()
	Decide(o).Apply(&status, 7, noon.Add(300*time.Millisecond))
	ready := status.Conditions[0]
	switch {
	case status.ObservedGeneration != 7 || ready.ObservedGeneration != 0:
		t.Error("the generation that was looked at is not noted once")
	case !ready.LastTransitionTime.Time.Equal(noon):
		t.Errorf("Ready stayed True and moved to %s", ready.LastTransitionTime)
	case status.NextRefreshTime == nil || !status.NextRefreshTime.Time.Equal(noon.Add(15*time.Hour)):
		t.Errorf("next refresh at %v", status.NextRefreshTime)
	case status.Secret == nil || status.Secret.Name != "ci" || status.Secret.ResourceVersion != "7":
		t.Errorf("the Secret is %v", status.Secret)
	}
	// B160: what an earlier operator says of a session with nothing wrong vanishes, also of one that is paused.
	for _, kind := range []string{v1alpha1.ConditionAuthenticated, v1alpha1.ConditionSecretSynced} {
		former := metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Fine"}
		status.Conditions = append(status.Conditions, former)
	}
	o.Session.Spec.Paused = true
	Decide(o).Apply(&status, 7, noon)
	if len(status.Conditions) != 1 {
		t.Errorf("the conditions are %+v", status.Conditions)
	}
	o.Session.Spec.Paused = false
	// B07: an observation that is not believed changes no status.
	was := status.DeepCopy()
	o.Deployment.Settling = true
	Decide(o).Apply(&status, 8, noon.Add(time.Hour))
	if diff := diffStatus(*was, status); diff != "" {
		t.Errorf("a plan that keeps the status changed it:\n%s", diff)
	}
}

// B52: near-expiry work goes first, first-time minting before routine refresh.
func TestPriority(t *testing.T) {
	t.Parallel()
	with := func(age time.Duration, options ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, age)}, options...)...)
	}
	busy := failedTo(LookUpUser, failure.Wait, v1alpha1.ReasonRateLimited)
	for name, tc := range map[string]struct {
		seen Observation
		want Priority
	}{
		"nothing is due":                 {with(time.Hour), Routine},
		"a rotation that is due":         {with(17 * time.Hour), Routine},
		"a rotation that should be over": {with(21 * time.Hour), NearExpiry},
		"the same, rate limited":         {with(21*time.Hour, busy), NearExpiry},
		"by the server's clock": {
			with(17*time.Hour, func(o *Observation) { o.Skew = 4 * time.Hour }), NearExpiry,
		},
		"the first token":               {newSession("ci", withMint("bot")), FirstCredential},
		"the first token, rate limited": {newSession("ci", withMint("bot"), busy), FirstCredential},
		"a token that has ended":        {with(25 * time.Hour), FirstCredential},
		"a token that is due for another spec": {
			with(time.Hour, withoutServerTokens, func(o *Observation) { o.SpecDigest = "another" }), Routine,
		},
		"a supplied token, not published yet": {newSession("ci", withToken()), FirstCredential},
		"a supplied token that is looked at again": {
			newSession("ci", withToken(), publishedSupplied(value), checkedAs(value, time.Hour, accepted)), Routine,
		},
		"what is taken away": {
			newSession("ci", withMint("bot"), withDeployment(func(d *Deployment) { d.Denied = "no" })), Routine,
		},
		"what is deleted": {newSession("ci", withMint("bot"), withDeletion(0)), Routine},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Decide(tc.seen).Priority; got != tc.want {
				t.Errorf("priority %d, want %d", got, tc.want)
			}
		})
	}
}
