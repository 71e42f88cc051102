// SPDX-License-Identifier: Apache-2.0

package session

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// An unused session goes through these states. Status records the retirement before anything is
// removed, so that the session stays retired after a crash.
//
//	active ──► retention retires it ──► status records it ──► DeleteSecret ──► Revoke ──► retired
//	  ▲                                                                                      │
//	  └──── Mint ◄── a renewal request, a change of the spec, or retention lets it return ◄──┘

// stayRetired keeps a retired session without a credential, whatever the state of its deployment.
func stayRetired(o Observation) (Plan, bool) {
	if !IsRetired(o.Session, o.Retention) {
		return Plan{}, false
	}
	was := o.Session.Status.Retirement
	next := was.DeepCopy()
	if r := o.Retention; r.Reason != "" {
		next.Reason, next.Message = r.Reason, o.retirementMessage()
	}
	p := revokeEverything(o, v1alpha1.ReasonRetired, next.Message)
	p.Retirement = next
	return p, true
}

// formerTokenEnds removes a minted token that is still published although the session asks for another
// credential now, or for tokens for its pods. It stays until it can be replaced, but neither a pause keeps it,
// nor is it kept above the limit on sessions (B136).
func formerTokenEnds(o Observation) (Plan, bool) {
	if o.method().mints() || !o.Secret.Token.Minted() {
		return Plan{}, false
	}
	const removed = "the minted token is removed, because the session asks for another credential now"
	switch {
	case o.Session.Spec.Paused:
		return revokeEverything(o, v1alpha1.ReasonPaused, "paused by spec.paused, and "+removed), true
	case o.Retention.Reason == v1alpha1.RetirementSessionLimit:
		return revokeEverything(o, v1alpha1.ReasonRetired, removed+": "+o.Retention.Message), true
	}
	return Plan{}, false
}

// askingAboveLimit removes the token of a session that is above the limit on sessions, although it asks for
// something that is not done yet: it may never be done. The session goes on asking, without a token (B136).
func askingAboveLimit(o Observation) (Plan, bool) {
	r, was := o.Retention, o.Session.Status.Token
	if !r.Held || r.Reason != v1alpha1.RetirementSessionLimit || !Asking(o.Session) || was == nil {
		return Plan{}, false
	}
	if current := o.Secret.Token; !o.canCallServer() || current != nil && current.ID != was.ID {
		return Plan{}, false // another one has replaced it
	}
	return revokeEverything(o, v1alpha1.ReasonRetired, r.Message), true
}

// pausedAboveLimit retires a paused session that is above the limit on sessions (B136).
func pausedAboveLimit(o Observation) (Plan, bool) {
	if !o.Session.Spec.Paused || o.Retention.Reason != v1alpha1.RetirementSessionLimit {
		return Plan{}, false
	}
	return startRetirement(o)
}

// startRetirement records the retirement in status; nothing is removed or revoked yet.
func startRetirement(o Observation) (Plan, bool) {
	r := o.Retention
	if r.Reason == "" || !o.canCallServer() || Asking(o.Session) || !o.method().mints() {
		return Plan{}, false
	}
	if since := o.Session.Status.LastActivityTime; since != nil && since.After(r.LastActiveTime) {
		return Plan{}, false // the decision is out of date
	}
	why := o.retirementMessage()
	p := notReady(v1alpha1.ReasonRetired, why)
	p.Retirement = &v1alpha1.Retirement{
		Reason: r.Reason, Message: why, Generation: o.Session.Generation,
		StartTime: *statusTime(o.Now), LastActiveTime: *statusTime(r.LastActiveTime),
	}
	p.RequeueAt = o.Now.Add(requeueSoon)
	return p, true
}

// retirementMessage is the message of the retention decision, followed by how to get the credential
// back.
func (o Observation) retirementMessage() string {
	return o.Retention.Message + "; run kubectl coder renew, or change the spec, to get the credential back now"
}

// Asking reports whether a person asked for a renewal or changed the spec, and status does not
// reflect it yet. A retired session returns for that; any other session is not retired before it is
// handled. A paused session is renewed only when it is resumed.
func Asking(s *v1alpha1.CoderSession) bool {
	known := s.Status.ObservedGeneration
	if s.Status.Retirement != nil {
		known = s.Status.Retirement.Generation
	}
	return isRenewalPending(s) && !s.Spec.Paused || s.Generation != known
}

// IsRetired reports whether a session is retired and stays so.
func IsRetired(s *v1alpha1.CoderSession, r RetentionDecision) bool {
	return s.Status.Retirement != nil && !Asking(s) && !r.MayReturn
}

// creationCounts is how long after its creation a session may get its first credential without a record of it:
// the creation is a use itself, and the shortest idleTimeout is 2 h.
const creationCounts = time.Minute

// recordActivity records the times that retention depends on. A retirement ends as soon as the
// session has a credential again. A session that returns because there is room keeps its last
// activity time; a rotation is no activity.
func recordActivity(o Observation, p *Plan) {
	status, mints := o.Session.Status, o.method().mints()
	was := status.Retirement
	back := was != nil && p.isActive()
	if p.Retirement == nil && mints && !back {
		p.Retirement = was
	}
	p.LastActivityTime = status.LastActivityTime
	edited := o.Session.Generation != status.ObservedGeneration && status.ObservedGeneration > 0
	switch {
	case !mints:
	case edited, p.HandledRenewalRequest != status.LastHandledRenewAt, back && Asking(o.Session):
		p.LastActivityTime = statusTime(o.Now)
	case back:
		p.LastActivityTime = was.LastActiveTime.DeepCopy()
	case isLateFirstToken(o, p):
		p.LastActivityTime = statusTime(o.Now)
	}
}

// isLateFirstToken reports whether the first token came so late that the session's creation no longer counts.
func isLateFirstToken(o Observation, p *Plan) bool {
	return o.Session.Status.Token == nil && p.Token != nil &&
		o.Now.Sub(o.Session.CreationTimestamp.Time) >= creationCounts
}

// lastUsedTime is when, by the server's clock, the server last recorded a use of the session's
// token or of one that it replaced; zero: never.
func lastUsedTime(o Observation) time.Time {
	var last time.Time
	if was := o.Session.Status.Token; was != nil && was.Serial > 0 && was.LastUsedTime != nil {
		last = was.LastUsedTime.Time
	}
	if token := o.ServerTokens.Token; token != nil {
		last = laterOf(last, token.LastUsedAt)
	}
	for _, token := range o.ServerTokens.Others {
		if !token.OfOtherUser {
			last = laterOf(last, token.LastUsedAt)
		}
	}
	return last
}

// LastActive is when, by the operator's clock, a minted session was last used, created, changed or
// renewed. Used is the latest use of its tokens in the server's list, by the server's clock, which
// is ahead by skew; zero: none.
func LastActive(s *v1alpha1.CoderSession, used time.Time, skew time.Duration) time.Time {
	if retirement := s.Status.Retirement; retirement != nil {
		return retirement.LastActiveTime.Time
	}
	if token := s.Status.Token; token != nil && token.Serial > 0 && token.LastUsedTime != nil {
		used = laterOf(used, token.LastUsedTime.Time)
	}
	last := s.CreationTimestamp.Time
	if since := s.Status.LastActivityTime; since != nil {
		last = laterOf(last, since.Time)
	}
	if !used.IsZero() {
		last = laterOf(last, used.Add(-skew))
	}
	return last.Truncate(time.Second)
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlierOf(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
