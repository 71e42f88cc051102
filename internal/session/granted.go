// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// granted decides for auth.oauth:
//
//	Register ──► Authorize ──► (a person consents) ──► CheckCredential ──► Publish ──► active
//	                ▲                                        ▲                           │ in time, or on a 401
//	                │ InvalidGrant, scopes missing           └───────── Refresh ◄────────┘
//	                └──────────────────────────────────────────────────────┘
//
// Whoever spends a refresh token notes it first. Where that is all that is known, Resolve finds out, once the time that
// anybody may take has passed, whether the server has done it (B67).
func granted(o Observation) Plan {
	g := o.Grant
	if g.Problem != "" {
		p := configInvalid(o, g.Problem)
		saySynced(o, &p)
		return p
	}
	if p, held := awaitDeployment(o); held {
		return p
	}
	if !g.Registered {
		return Plan{Action: RegisterClient}
	}
	if !g.Held {
		return authorization(o)
	}
	return held(o)
}

// held decides for a grant that there is.
func held(o Observation) Plan {
	g := o.Grant
	if ending := o.endsGrant(); ending.Reason != "" {
		return Plan{Action: EndGrant, GrantEndReason: ending}
	}
	if !g.Spent.IsZero() {
		return unresolved(o)
	}
	if g.Refreshable && (!o.serverNow().Before(o.refreshAt()) || o.renewalPending() && o.RefreshedForRequest != o.asked()) {
		return Plan{Action: RefreshGrant}
	}
	p := checked(o, g.Fingerprint)
	switch {
	case p.Action == Publish && g.Shared != "":
		return Plan{Action: EndGrant, GrantEndReason: GrantEndReason{endedShared, fmt.Sprintf(
			"session %s holds a grant of the same user with the same client, and Coder keeps one for both: consent as another user, delete one of the sessions, or remove oauth.clientSecretName from the deployment so that each session registers its own client", g.Shared)}}
	case p.Action != Nothing:
	case g.Refreshable:
		p.NextRefresh = o.refreshAt()
		p.wakeAt(p.NextRefresh.Add(-o.Skew))
	default:
		p.wakeAt(g.ExpiresAt.Add(-o.Skew))
	}
	return p
}

// endsGrant says why a grant is of no use any more; no reason: it is.
func (o Observation) endsGrant() GrantEndReason {
	g := o.Grant
	switch {
	case g.Lacks != "":
		return GrantEndReason{endedScopes, fmt.Sprintf("the consent does not cover %s, which the session asks for", g.Lacks)}
	case g.Exceeds != "":
		return GrantEndReason{endedScopes, "the consent was for more than is allowed by now: " + g.Exceeds}
	case !g.Refreshable && !o.serverNow().Before(g.ExpiresAt):
		return GrantEndReason{endedExpired, "the grant has ended, and the server gave nothing to refresh it with"}
	}
	return GrantEndReason{}
}

// refreshAt is when, by the server's clock, the grant is refreshed (B65).
func (o Observation) refreshAt() time.Time {
	g := o.Grant
	lifetime := g.ExpiresAt.Sub(g.IssuedAt.Add(o.Skew))
	return g.ExpiresAt.Add(-o.renewBefore(lifetime))
}

// unresolved waits until nobody can be spending the refresh token any more, and then finds out.
func unresolved(o Observation) Plan {
	end := o.Grant.Spent.Add(spendingTime)
	if !o.Now.Before(end) {
		return Plan{Action: ResolveInterruptedRefresh}
	}
	p := keepReadyWhileUnavailable(o, v1alpha1.ReasonVerifying, v1alpha1.ReasonVerifying, "a refresh of the grant is under way, or was interrupted; it is looked into by itself")
	p.wakeAt(end)
	return p
}

// authorization asks a person to consent, anew when the last request has ended (B63).
func authorization(o Observation) Plan {
	g := o.Grant
	exchanging := !g.SpentAt.IsZero() && g.EndedAt.Before(g.SpentAt)
	switch {
	case exchanging && o.Now.Before(g.SpentAt.Add(spendingTime)):
		p := consent(o, v1alpha1.ReasonVerifying, "a person has consented; the grant is being fetched")
		p.RequeueAt = g.SpentAt.Add(spendingTime)
		return p
	case g.URL == "", !g.SpentAt.IsZero(), !o.Now.Before(g.URLEnds):
		return Plan{Action: StartAuthorization}
	}
	how := fmt.Sprintf("open status.authorization.url in a browser, or run: kubectl coder login -n %s %s", o.Session.Namespace, o.Session.Name)
	switch {
	case g.EndedReason == endedShared:
		return consent(o, v1alpha1.ReasonConfigInvalid, g.Ended)
	case g.Consented:
		return consent(o, v1alpha1.ReasonReauthenticationRequired, fmt.Sprintf("the grant has ended (%s); a person has to consent again: %s", g.Ended, how))
	case g.Ended != "":
		return consent(o, v1alpha1.ReasonAwaitingAuthorization, fmt.Sprintf("the last attempt came to nothing (%s); a person has to consent: %s", g.Ended, how))
	}
	return consent(o, v1alpha1.ReasonAwaitingAuthorization, "a person has to consent: "+how)
}

// consent is the plan of a session that waits for a person.
func consent(o Observation, reason, message string) Plan {
	p := notReady(reason, message)
	if o.Grant.Consented {
		p.set(v1alpha1.ConditionAuthenticated, metav1.ConditionFalse, reason, message)
	} else {
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionAuthenticated)
	}
	p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionLifetimeCut)
	saySynced(o, &p)
	p.RequeueAt = o.Grant.URLEnds
	return p
}

// forgetGrant gives up a grant that the session no longer asks for, or may no longer have, once its token is published no
// more (B71). What a deleted session leaves is leaveServer's business.
func forgetGrant(o Observation, p *Plan) {
	published := p.RevokeAll && o.Secret.Exists || o.publishes(o.Grant.ID)
	if !o.Grant.Exists || !o.unwanted(*p) || p.Action != Nothing || published {
		return
	}
	if o.Failure != nil || !o.usable() {
		p.Backoff = p.Backoff || o.Failure != nil
		p.wakeAt(o.Now.Add(o.Deployment.interval()))
		return
	}
	p.Action = ForgetGrant
}

// unwanted reports whether a session has no use for its grant any more. One whose workspace has stopped has: it would need
// a person to go on.
func (o Observation) unwanted(p Plan) bool {
	switch ready := p.condition(v1alpha1.ConditionReady); {
	case !o.Session.DeletionTimestamp.IsZero():
		return false
	case p.RevokeAll:
		return ready.Reason != v1alpha1.ReasonWorkspaceStopped
	}
	return o.Session.Spec.Auth.OAuth == nil && !o.Session.Spec.Paused
}

// usable reports whether the server can be asked for something now.
func (o Observation) usable() bool {
	return o.Deployment.Found && o.Deployment.Resolved && !o.Deployment.Settling && o.Deployment.Result.OK()
}
