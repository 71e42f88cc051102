// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// oauthMethod is auth.oauth: a person consents, and the operator keeps the grant alive.
type oauthMethod struct{ checkedCredential }

func (oauthMethod) decide(o Observation) Plan { return decideOAuth(o) }

func (oauthMethod) credential(o Observation) (string, bool) { return o.Grant.Fingerprint, o.Grant.Held }

func (oauthMethod) keepsGrant() bool { return true }

func (oauthMethod) replacement(o Observation) (due, end time.Time) {
	if !o.Grant.Held {
		return time.Time{}, time.Time{}
	}
	return o.refreshTime(), o.Grant.ExpiresAt
}

// isRenewalServed reports whether the grant was refreshed for the request, and is published. One that
// cannot be refreshed is checked instead.
func (m oauthMethod) isRenewalServed(o Observation) bool {
	if !o.Grant.Refreshable {
		return m.checkedCredential.isRenewalServed(o)
	}
	token := o.Secret.Token
	return o.RefreshedForRequest == o.renewalRequest() && token != nil && token.Fingerprint == o.Grant.Fingerprint
}

func (oauthMethod) refusalMessage(o Observation, why string) string {
	if result := o.CredentialCheck.Result; result.Reason == v1alpha1.ReasonUnauthorized {
		return withCause("the server refuses the grant's access token", result.Cause)
	}
	return "the grant's access token is refused: " + why
}

// decideOAuth decides for auth.oauth:
//
//	RegisterClient ──► StartAuthorization ──► (a person consents) ──► CheckCredential ──► Publish
//	published, and refresh due or 401 ──► RefreshGrant ──► CheckCredential ──► Publish
//	InvalidGrant, or scopes missing ──► StartAuthorization
//
// The intent to spend a refresh token is recorded before it is spent. If a process ends in between,
// ResolveInterruptedRefresh finds out whether the server has done the refresh, after
// maxSpendingTime, when no process can be at it any more (B67).
func decideOAuth(o Observation) Plan {
	g := o.Grant
	if g.Problem != "" {
		p := configInvalid(o, g.Problem)
		setSecretSyncedCondition(o, &p)
		return p
	}
	if p, waits := awaitDeployment(o); waits {
		return p
	}
	if !g.Registered {
		return Plan{Action: RegisterClient}
	}
	if !g.Held {
		return requestConsent(o)
	}
	return decideHeldGrant(o)
}

// issuedGrantUnstored stores a grant that exists in the operator's memory only, whatever else there
// is to do: the previous one is no longer valid.
func issuedGrantUnstored(o Observation) (Plan, bool) {
	if !o.Grant.Unstored || o.failureOf(StoreGrant) != nil {
		return Plan{}, false
	}
	return Plan{Action: StoreGrant}, true
}

// decideHeldGrant decides for a session that has an access token.
func decideHeldGrant(o Observation) Plan {
	g := o.Grant
	if ending := o.grantEndReason(); ending.Reason != "" {
		return Plan{Action: EndGrant, GrantEndReason: ending}
	}
	if !g.Spent.IsZero() {
		return resolveRefresh(o)
	}
	requested := o.isRefreshRequested() && o.refreshRequestTime().IsZero()
	if g.Refreshable && (requested || !o.serverNow().Before(o.refreshTime())) {
		return Plan{Action: RefreshGrant}
	}
	return publishGrant(o, publishIfAccepted(o, g.Fingerprint))
}

// publishGrant completes the plan for an access token that is not due.
func publishGrant(o Observation, p Plan) Plan {
	g := o.Grant
	p.User = o.pinConsentedUser(p.User)
	problem := o.consentProblem()
	switch {
	case problem != "" && (p.Action == Publish || p.isActive()):
		return Plan{Action: EndGrant, GrantEndReason: GrantEndReason{endedOtherUser, problem}}
	case p.Action == Nothing && o.isGrantRefused():
		return Plan{Action: RefreshGrant}
	case p.Action == Publish && g.Shared != "":
		return Plan{Action: EndGrant, GrantEndReason: GrantEndReason{endedShared, fmt.Sprintf(
			"%s has the only grant that Coder allows for this user and OAuth client: consent as another user, "+
				"delete one of the sessions, or remove oauth.clientSecretName from the CoderDeployment", g.Shared)}}
	case p.Action != Nothing:
	case g.Refreshable:
		p.NextRefresh = o.refreshTime()
		p.requeueBy(p.NextRefresh.Add(-o.Skew))
		if at := o.refreshRequestTime(); !at.IsZero() {
			postponeRenewal(&p, at, at)
		}
	default:
		p.requeueBy(g.ExpiresAt.Add(-o.Skew))
	}
	return p
}

// isGrantRefused reports whether the server refuses the access token and a refresh may help (B66).
// If the token is from such a refresh already, its refusal has another cause, and the next refresh
// waits an interval.
func (o Observation) isGrantRefused() bool {
	g, check := o.Grant, o.CredentialCheck
	again := g.RefreshedAfterRefusal && check.Time.Before(g.IssuedAt.Add(o.Deployment.VerifyInterval()))
	return g.Refreshable && !again && isTokenRefused(check.Result) && check.Credential == g.Fingerprint
}

// isTokenRefused tells a refusal of a token from one of a certificate or a user.
func isTokenRefused(r authcheck.Result) bool {
	return r.Outcome == authcheck.Rejected && r.Reason == v1alpha1.ReasonUnauthorized
}

// grantEndReason is why the grant can no longer be used; the zero value: it can.
func (o Observation) grantEndReason() GrantEndReason {
	g := o.Grant
	switch {
	case g.Lacks != "":
		message := fmt.Sprintf("the consent does not cover %s, which the session asks for", g.Lacks)
		return GrantEndReason{endedScopes, message}
	case g.Exceeds != "":
		return GrantEndReason{endedScopes, "the consent covers more than the access rules allow now: " + g.Exceeds}
	case !g.Refreshable && !o.serverNow().Before(g.ExpiresAt):
		return GrantEndReason{endedExpired, "the access token has expired, and there is no refresh token"}
	}
	return GrantEndReason{}
}

// refreshTime is when, by the server's clock, the grant is refreshed (B65).
func (o Observation) refreshTime() time.Time {
	return o.Grant.ExpiresAt.Add(-renewBefore(o.Session, o.Grant.Lifetime))
}

// resolveRefresh waits until no process can be spending the refresh token any more, then finds out
// how the refresh ended.
func resolveRefresh(o Observation) Plan {
	end := o.Grant.Spent.Add(maxSpendingTime)
	if !o.Now.Before(end) {
		return Plan{Action: ResolveInterruptedRefresh}
	}
	p := keepReadyWhileUnavailable(o, v1alpha1.ReasonVerifying, v1alpha1.ReasonVerifying,
		"a refresh of the grant is in progress or was interrupted; the operator resolves it automatically")
	p.requeueBy(end)
	return p
}

// requestConsent asks a person to consent, and again when the last request has expired (B63).
func requestConsent(o Observation) Plan {
	g := o.Grant
	exchanging := !g.SpentAt.IsZero() && g.EndedAt.Before(g.SpentAt)
	switch {
	case exchanging && o.Now.Before(g.SpentAt.Add(maxSpendingTime)):
		p := awaitConsent(o, v1alpha1.ReasonVerifying, "a person has consented; the grant is being fetched")
		p.RequeueAt = g.SpentAt.Add(maxSpendingTime)
		return p
	case g.URL == "", !g.SpentAt.IsZero(), !o.Now.Before(g.URLEnds):
		return Plan{Action: StartAuthorization}
	}
	const how = "open status.authorization.url in a browser, or run kubectl coder login"
	switch {
	case g.EndedReason == endedShared:
		return awaitConsent(o, v1alpha1.ReasonConfigInvalid, g.Ended)
	case g.Consented:
		return awaitConsent(o, v1alpha1.ReasonReauthenticationRequired,
			fmt.Sprintf("the grant has ended (%s); a person has to consent again: %s", g.Ended, how))
	case g.Ended != "":
		return awaitConsent(o, v1alpha1.ReasonAwaitingAuthorization,
			fmt.Sprintf("the last attempt failed (%s); a person has to consent: %s", g.Ended, how))
	}
	return awaitConsent(o, v1alpha1.ReasonAwaitingAuthorization, "a person has to consent: "+how)
}

// awaitConsent is the plan of a session that waits for a person's consent.
func awaitConsent(o Observation, reason, message string) Plan {
	p := notReady(reason, message)
	if o.Grant.Consented {
		p.setCondition(v1alpha1.ConditionAuthenticated, metav1.ConditionFalse, reason, message)
	} else {
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionAuthenticated)
	}
	p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionLifetimeCut)
	setSecretSyncedCondition(o, &p)
	p.RequeueAt = o.Grant.URLEnds
	return p
}

// forgetGrant gives up a grant that the session no longer asks for or may no longer have, as soon
// as its token is no longer published (B71). For a deleted session revokeOnServer does that.
func forgetGrant(o Observation, p *Plan) {
	published := p.RevokeAll && o.Secret.Exists || o.isPublished(o.Grant.ID)
	if !o.Grant.Exists || !o.isGrantObsolete(*p) || p.Action != Nothing || published {
		return
	}
	if o.failureOf(ForgetGrant) != nil || !o.canCallServer() {
		p.requeueBy(o.Now.Add(o.Deployment.VerifyInterval()))
		return
	}
	p.Action = ForgetGrant
}

// isGrantObsolete reports whether the session has no use for its grant any more. A grant outlives a
// stop of the workspace and a wrong name of it, because a new one would need a person's consent.
func (o Observation) isGrantObsolete(p Plan) bool {
	switch ready := p.findCondition(v1alpha1.ConditionReady); {
	case !o.Session.DeletionTimestamp.IsZero():
		return false
	case p.RevokeAll:
		return ready.Reason != v1alpha1.ReasonWorkspaceStopped && ready.Reason != v1alpha1.ReasonWorkspaceUnknown
	}
	return !o.method().keepsGrant() && !o.Session.Spec.Paused
}

// canCallServer reports whether the server can be called now.
func (o Observation) canCallServer() bool {
	return o.Deployment.Found && o.Deployment.Resolved && !o.Deployment.Settling && o.Deployment.Result.OK()
}
