// SPDX-License-Identifier: Apache-2.0

package session

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// DefaultOverlap of an old token where the spec names none.
const DefaultOverlap = 5 * time.Minute

// mostRetiring tokens fit into status. Those that are due first come first; the
// others stay in the server's list until there is room.
const mostRetiring = 64

// revokeEverything takes everything away from a session: first the Secret, so that no
// reader finds a dead token, then what was minted.
func revokeEverything(o Observation, reason, message string) Plan {
	p := notReady(reason, message)
	p.RevokeAll = true
	p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionAuthenticated, v1alpha1.ConditionSecretSynced, v1alpha1.ConditionLifetimeCut)
	switch {
	case o.Failure != nil:
		p.Backoff = true
		p.RequeueAt = o.Now.Add(o.Deployment.interval())
	case o.Secret.Exists && !o.recordedInStatus():
		p.RequeueAt = o.Now.Add(soon)
	case o.Secret.Exists:
		p.Action = DeleteSecret
	}
	return p
}

// retiring lists the session's tokens that are to be revoked, each with its
// time: those that were noted before, the one that status still names although
// another is published, and what the server lists besides. Where the session is
// stripped all of them are due, and the published one is among them.
func retiring(o Observation, stripped bool) []v1alpha1.PendingRevocation {
	s := schedule{o: o, stripped: stripped}
	for _, t := range o.Session.Status.PendingRevocations {
		s.add(t.ID, t.Name, t.RevokeTime.Time)
	}
	if was := o.Session.Status.Token; was != nil && was.Serial > 0 {
		s.add(was.ID, was.Name, s.overlapped())
	}
	if current := o.Secret.Token; stripped && current.Minted() {
		s.add(current.ID, "", o.Now)
	}
	for _, t := range o.ServerTokens.Others {
		after := o.Now
		if s.wasPublished(t) {
			after = s.overlapped()
		}
		s.add(t.ID, t.Name, after)
	}
	slices.SortFunc(s.list, func(a, b v1alpha1.PendingRevocation) int {
		return cmp.Or(a.RevokeTime.Compare(b.RevokeTime.Time), cmp.Compare(a.ID, b.ID))
	})
	return s.list
}

// schedule gathers the tokens that are to be revoked, each once: who names a token
// first decides about its time.
type schedule struct {
	o        Observation
	stripped bool
	list     []v1alpha1.PendingRevocation
}

func (s *schedule) add(id, name string, after time.Time) {
	published := !s.stripped && s.o.publishes(id)
	known := slices.ContainsFunc(s.list, func(t v1alpha1.PendingRevocation) bool { return t.ID == id })
	if id == "" || published || known || slices.Contains(s.o.RevokedTokens, id) {
		return
	}
	if s.stripped && after.After(s.o.Now) {
		after = s.o.Now
	}
	s.list = append(s.list, v1alpha1.PendingRevocation{ID: id, Name: name, RevokeTime: metav1.NewTime(wholeSecond(after, s.o.Now))})
}

// overlapped is when a token that was published until now may go (B43).
func (s *schedule) overlapped() time.Time {
	overlap := DefaultOverlap
	if rotation := s.o.Session.Spec.Rotation; rotation != nil {
		overlap = rotation.Overlap.Or(DefaultOverlap)
	}
	return s.o.Now.Add(overlap)
}

// wasPublished tells a token that readers may still be using from one that was
// minted and never published, because of a crash in between: its serial is above
// the published one. A supplied token has the serial of the minted one before it.
func (s *schedule) wasPublished(t Listed) bool {
	current := s.o.Secret.Token
	if current == nil {
		return false
	}
	return t.Serial < current.Serial || !current.Minted() && t.Serial == current.Serial
}

// wholeSecond is a time as status stores it. One that has not come is rounded up:
// rounding down would revoke early.
func wholeSecond(t, now time.Time) time.Time {
	whole := t.Truncate(time.Second)
	if t.After(now) && whole.Before(t) {
		return whole.Add(time.Second)
	}
	return whole
}

// publishes reports whether readers find this token in the Secret.
func (o Observation) publishes(id string) bool {
	return o.Secret.Token != nil && o.Secret.Token.ID == id
}

// revokeWhatIsDue makes revocation the plan's action when a token's time has
// come and the server can be asked, and else sees to it that the plan wakes then.
// What is still published is not revoked, not even from a stripped session, and
// nothing while readers are yet to be restarted.
func revokeWhatIsDue(o Observation, p *Plan) {
	held := !p.RevokeAll && p.unrolled(o)
	for _, t := range p.PendingRevocations {
		switch {
		case t.RevokeTime.After(o.Now):
			p.wakeAt(t.RevokeTime.Time)
		case held:
			p.wakeAt(o.Now.Add(o.Deployment.interval()))
		case o.usable() && o.Failure == nil && !o.publishes(t.ID):
			p.Action = Revoke
			p.Revoke = append(p.Revoke, TokenRef{ID: t.ID, Name: t.Name})
		default:
			p.Backoff = p.Backoff || o.Failure != nil
			p.wakeAt(o.Now.Add(o.Deployment.interval()))
		}
	}
}
