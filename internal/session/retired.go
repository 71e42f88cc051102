// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// A session that nobody uses goes through these states. Its retirement is in status
// before anything is taken away: after a crash status alone keeps it retired.
//
//	kept ──► a ruling retires it ──► status says so ──► Withdraw ──► Revoke ──► retired
//	 ▲                                                                            │
//	 └── Active ◄── Mint ◄── a request for renewal, a change of the spec, ◄───────┘
//	                         or a ruling that lets it return

// retired keeps everything away from a session that is retired. That does not depend
// on how its deployment is.
func retired(o Observation) (Plan, bool) {
	if !IsRetired(o.Session, o.Retention) {
		return Plan{}, false
	}
	was := o.Session.Status.Retirement
	next := was.DeepCopy()
	if r := o.Retention; r.Reason != "" {
		next.Reason, next.Message = r.Reason, o.whyRetired()
	}
	p := revokeEverything(o, v1alpha1.ReasonRetired, next.Message)
	p.Retirement = next
	return p, true
}

// startRetirement begins a retirement: it is said, and taken away is nothing yet.
func startRetirement(o Observation) (Plan, bool) {
	r := o.Retention
	if r.Reason == "" || !o.usable() || Asking(o.Session) || o.Session.Spec.Auth.Mint == nil {
		return Plan{}, false
	}
	if since := o.Session.Status.LastActivityTime; since != nil && since.After(r.LastActiveTime) {
		return Plan{}, false // the ruling is out of date
	}
	why := o.whyRetired()
	p := notReady(v1alpha1.ReasonRetired, why)
	p.Retirement = &v1alpha1.Retirement{
		Reason: r.Reason, Message: why, StartTime: *stamp(o.Now), LastActiveTime: *stamp(r.LastActiveTime), Generation: o.Session.Generation,
	}
	p.RequeueAt = o.Now.Add(soon)
	return p, true
}

// whyRetired is what the ruling says, and how to get the credential back.
func (o Observation) whyRetired() string {
	return fmt.Sprintf("%s; to get the credential back now, run: kubectl coder renew %s -n %s, or change the spec", o.Retention.Message, o.Session.Name, o.Session.Namespace)
}

// Asking reports whether somebody has done something about a session that status does not
// tell of yet: asked for its renewal, or changed its spec. One that is retired returns
// for that, any other one is not retired before.
func Asking(s *v1alpha1.CoderSession) bool {
	known := s.Status.ObservedGeneration
	if s.Status.Retirement != nil {
		known = s.Status.Retirement.Generation
	}
	return renewalPending(s) || s.Generation != known
}

// IsRetired reports whether a session is retired and stays so.
func IsRetired(s *v1alpha1.CoderSession, r RetentionDecision) bool {
	return s.Status.Retirement != nil && !Asking(s) && !r.MayReturn
}

// sayActivity notes what retention goes by. A retirement ends when there is a
// credential again. Who returns because there was room is no more active than before;
// a rotation is no activity.
func sayActivity(o Observation, p *Plan) {
	status, mints := o.Session.Status, o.Session.Spec.Auth.Mint != nil
	was := status.Retirement
	back := was != nil && p.isActive()
	if p.Retirement == nil && mints && !back {
		p.Retirement = was
	}
	p.LastActivityTime = status.LastActivityTime
	edited := o.Session.Generation != status.ObservedGeneration
	switch {
	case !mints:
	case edited, p.HandledRenewalRequest != status.LastHandledRenewAt, back && Asking(o.Session):
		p.LastActivityTime = stamp(o.Now)
	case back:
		p.LastActivityTime = was.LastActiveTime.DeepCopy()
	case status.Token == nil && p.Token != nil:
		p.LastActivityTime = stamp(o.Now)
	}
}

// lastUsed is when the server last saw a token of the session used, by the server's
// clock, or one that it replaced; zero: never.
func lastUsed(o Observation) time.Time {
	var last time.Time
	if was := o.Session.Status.Token; was != nil && was.Serial > 0 && was.LastUsedTime != nil {
		last = was.LastUsedTime.Time
	}
	if token := o.ServerTokens.Token; token != nil {
		last = later(last, token.LastUsedAt)
	}
	for _, token := range o.ServerTokens.Others {
		last = later(last, token.LastUsedAt)
	}
	return last
}

// LastActive is when a minted session was last used, or as good as used, by the
// operator's clock. Used is the latest use of its tokens that the server's list tells
// of, by the server's clock, which is ahead by skew; zero: none.
func LastActive(s *v1alpha1.CoderSession, used time.Time, skew time.Duration) time.Time {
	if retirement := s.Status.Retirement; retirement != nil {
		return retirement.LastActiveTime.Time
	}
	if token := s.Status.Token; token != nil && token.Serial > 0 && token.LastUsedTime != nil {
		used = later(used, token.LastUsedTime.Time)
	}
	last := s.CreationTimestamp.Time
	if since := s.Status.LastActivityTime; since != nil {
		last = later(last, since.Time)
	}
	if !used.IsZero() {
		last = later(last, used.Add(-skew))
	}
	return last.Truncate(time.Second)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
