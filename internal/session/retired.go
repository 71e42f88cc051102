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
	if !Resting(o.Session, o.Ruling) {
		return Plan{}, false
	}
	was := o.Session.Status.Retirement
	next := was.DeepCopy()
	if r := o.Ruling; r.Reason != "" {
		next.Reason, next.Message = r.Reason, o.whyRetired()
	}
	p := strip(o, v1alpha1.ReasonRetired, next.Message)
	p.Retirement = next
	return p, true
}

// retiredNow begins a retirement: it is said, and taken away is nothing yet.
func retiredNow(o Observation) (Plan, bool) {
	r := o.Ruling
	if r.Reason == "" || !o.usable() || Asking(o.Session) || o.Session.Spec.Auth.Mint == nil {
		return Plan{}, false
	}
	if since := o.Session.Status.ActiveSince; since != nil && since.After(r.LastActive) {
		return Plan{}, false // the ruling is out of date
	}
	why := o.whyRetired()
	p := notReady(v1alpha1.ReasonRetired, why)
	p.Retirement = &v1alpha1.Retirement{
		Reason: r.Reason, Message: why, Since: *stamp(o.Now), LastActive: *stamp(r.LastActive), Generation: o.Session.Generation,
	}
	p.Wake = o.Now.Add(soon)
	return p, true
}

// whyRetired is what the ruling says, and how to get the credential back.
func (o Observation) whyRetired() string {
	return fmt.Sprintf("%s; to get the credential back now, run: kubectl coder renew %s -n %s, or change the spec", o.Ruling.Message, o.Session.Name, o.Session.Namespace)
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

// Resting reports whether a session is retired and stays so.
func Resting(s *v1alpha1.CoderSession, r Ruling) bool {
	return s.Status.Retirement != nil && !Asking(s) && !r.Return
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
	p.ActiveSince = status.ActiveSince
	edited := o.Session.Generation != status.ObservedGeneration
	switch {
	case !mints:
	case edited, p.Handled != status.LastHandledRenewAt, back && Asking(o.Session):
		p.ActiveSince = stamp(o.Now)
	case back:
		p.ActiveSince = was.LastActive.DeepCopy()
	case status.Token == nil && p.Token != nil:
		p.ActiveSince = stamp(o.Now)
	}
}

// lastUsed is when the server last saw a token of the session used, by the server's
// clock, or one that it replaced; zero: never.
func lastUsed(o Observation) time.Time {
	var last time.Time
	if was := o.Session.Status.Token; was != nil && was.Serial > 0 && was.LastUsedAt != nil {
		last = was.LastUsedAt.Time
	}
	if token := o.Listing.Token; token != nil {
		last = later(last, token.LastUsedAt)
	}
	for _, token := range o.Listing.Others {
		last = later(last, token.LastUsedAt)
	}
	return last
}

// LastActive is when a minted session was last used, or as good as used, by the
// operator's clock. Used is the latest use of its tokens that the server's list tells
// of, by the server's clock, which is ahead by skew; zero: none.
func LastActive(s *v1alpha1.CoderSession, used time.Time, skew time.Duration) time.Time {
	if retirement := s.Status.Retirement; retirement != nil {
		return retirement.LastActive.Time
	}
	if token := s.Status.Token; token != nil && token.Serial > 0 && token.LastUsedAt != nil {
		used = later(used, token.LastUsedAt.Time)
	}
	last := s.CreationTimestamp.Time
	if since := s.Status.ActiveSince; since != nil {
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
