// SPDX-License-Identifier: Apache-2.0

package session

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// DefaultOverlap of an old token if the spec sets none.
const DefaultOverlap = 5 * time.Minute

// maxOverlap is the longest overlap, whatever the spec says.
const maxOverlap = 24 * time.Hour

// maxPendingRevocations is how many tokens status can hold. Those that are due first come first;
// the others are found in the server's list later.
const maxPendingRevocations = 64

// maxHeldByRollouts is how many tokens are kept until the workloads run with the published one. Who deletes the
// generated Secret again and again while a rollout is stuck has another one minted each time (B136).
const maxHeldByRollouts = 8

// revokeEverything removes the session's credential: first the Secret, so that no reader finds a
// revoked token in it, then the minted tokens.
func revokeEverything(o Observation, reason, message string) Plan {
	p := notReady(reason, message)
	p.RevokeAll = true
	p.ConditionsToRemove = append(p.ConditionsToRemove,
		v1alpha1.ConditionAuthenticated, v1alpha1.ConditionSecretSynced, v1alpha1.ConditionLifetimeCut)
	switch {
	case o.failureOf(DeleteSecret) != nil:
		p.Conditions[0].Message += "; the Secret could not be deleted: " + stableFailure(o.failureOf(DeleteSecret))
		p.RequeueAt = o.Now.Add(o.Deployment.VerifyInterval())
	case o.Secret.Exists && !o.isRecordedInStatus():
		p.RequeueAt = o.Now.Add(requeueSoon)
	case o.Secret.Exists:
		p.Action = DeleteSecret
	}
	return p
}

// pendingRevocations lists the session's tokens that are to be revoked, each with its time: those
// that status lists, the one in status if another one is published, and what else the server lists.
// With revokeAll all of them are due, including the published one.
func pendingRevocations(o Observation, revokeAll bool) []v1alpha1.PendingRevocation {
	s := revocationSchedule{o: o, revokeAll: revokeAll}
	for _, t := range o.Session.Status.PendingRevocations {
		// A time in the far future was stored while the operator's clock was ahead, or before the overlap
		// was shortened.
		s.addToken(t.ID, t.Name, earlierOf(t.RevokeTime.Time, s.overlapEnd()))
	}
	if was := o.Session.Status.Token; was != nil && was.Serial > 0 {
		s.addToken(was.ID, was.Name, s.overlapEnd())
	}
	if current := o.Secret.Token; revokeAll && current.Minted() {
		s.addToken(current.ID, "", o.Now)
	}
	for _, t := range o.ServerTokens.Others {
		after := o.Now
		if s.wasPublished(t) {
			after = s.overlapEnd()
		}
		s.addToken(t.ID, t.Name, after)
	}
	s.keepOnePredecessor()
	slices.SortFunc(s.list, func(a, b v1alpha1.PendingRevocation) int {
		return cmp.Or(a.RevokeTime.Compare(b.RevokeTime.Time), cmp.Compare(a.ID, b.ID))
	})
	return s.list
}

// AllTokens lists all tokens that the session has or may have on the server, including the published
// one.
func AllTokens(o Observation) []TokenRef {
	pending := pendingRevocations(o, true)
	tokens := make([]TokenRef, 0, len(pending))
	for _, t := range pending {
		tokens = append(tokens, TokenRef{ID: t.ID, Name: t.Name})
	}
	return tokens
}

// revocationSchedule gathers the tokens to be revoked, each once: the first entry of a token sets
// its time.
type revocationSchedule struct {
	o         Observation
	revokeAll bool
	list      []v1alpha1.PendingRevocation
}

func (s *revocationSchedule) addToken(id, name string, after time.Time) {
	published := !s.revokeAll && s.o.isPublished(id)
	known := slices.ContainsFunc(s.list, func(t v1alpha1.PendingRevocation) bool { return t.ID == id })
	if id == "" || published || known || slices.Contains(s.o.RevokedTokens, id) {
		return
	}
	if (s.revokeAll || s.o.isDenied(id)) && after.After(s.o.Now) {
		after = s.o.Now
	}
	s.list = append(s.list, v1alpha1.PendingRevocation{
		ID: id, Name: name, RevokeTime: metav1.NewTime(roundToSecond(after, s.o.Now)),
	})
}

// overlapEnd is when a token that was published until now is revoked (B43).
func (s *revocationSchedule) overlapEnd() time.Time {
	overlap := DefaultOverlap
	if rotation := s.o.Session.Spec.Rotation; rotation != nil {
		overlap = min(rotation.Overlap.Or(DefaultOverlap), maxOverlap)
	}
	if mint := s.o.Session.Spec.Auth.Mint; mint != nil {
		overlap = min(overlap, mint.Lifetime.Or(DefaultLifetime))
	}
	if !s.o.method().mints() { // the token does not count towards limits any more (B136)
		overlap = min(overlap, DefaultOverlap)
	}
	return s.o.Now.Add(overlap)
}

// isDenied reports whether the access rules do not allow a token any more that is not published.
func (o Observation) isDenied(id string) bool {
	return slices.ContainsFunc(o.ServerTokens.Others, func(t Listed) bool { return t.ID == id && t.Denied })
}

// isKeptByPause reports whether a pause keeps a token that is not published: the session still asks for such
// tokens, and the access rules allow it.
func (o Observation) isKeptByPause(p *Plan, id string) bool {
	return o.Session.Spec.Paused && !p.RevokeAll && o.method().mints() && !o.isDenied(id)
}

// keepOnePredecessor makes all tokens due but the one that was published last, so that at most two tokens
// of a session are live (B136). While workloads are yet to be restarted all of them are kept; no further
// one is minted on request then, see [Observation.awaitsRollout] and [maxHeldByRollouts].
func (s *revocationSchedule) keepOnePredecessor() {
	last := -1
	was := s.o.Session.Status.Token
	for i, t := range s.list {
		isLast := was != nil && t.ID == was.ID
		if t.RevokeTime.After(s.o.Now) && (last < 0 || isLast || !t.RevokeTime.Before(&s.list[last].RevokeTime)) {
			if last = i; isLast {
				break
			}
		}
	}
	for i := range s.list {
		if i != last && s.list[i].RevokeTime.After(s.o.Now) {
			s.list[i].RevokeTime = metav1.NewTime(roundToSecond(s.o.Now, s.o.Now))
		}
	}
}

// wasPublished tells a token that readers may still use from one that was minted and never
// published because of a crash: the serial of the latter is higher than the published one. A
// supplied token has the serial of the minted token before it. That of another user was never published,
// or status names it.
func (s *revocationSchedule) wasPublished(t Listed) bool {
	current := s.o.Secret.Token
	if current == nil || t.OfOtherUser {
		return false
	}
	return t.Serial < current.Serial || !current.Minted() && t.Serial == current.Serial
}

// roundToSecond returns a time as status stores it, in whole seconds. A time in the future is
// rounded up, because rounding down would revoke too early.
func roundToSecond(t, now time.Time) time.Time {
	whole := t.Truncate(time.Second)
	if t.After(now) && whole.Before(t) {
		return whole.Add(time.Second)
	}
	return whole
}

// isPublished reports whether the Secret holds this token.
func (o Observation) isPublished(id string) bool {
	return o.Secret.Token != nil && o.Secret.Token.ID == id || id != "" && o.Secret.HeldID == id
}

// revokeDueTokens makes revocation the plan's action if a token is due and the server can be
// called, and otherwise requeues for it. A token is not revoked while it is published, nor, unless
// everything is revoked, while workloads are yet to be restarted, which may use any of the last ones (B43).
func revokeDueTokens(o Observation, p *Plan) {
	held := !p.RevokeAll && p.hasPendingRestarts(o)
	latest := len(p.PendingRevocations) - maxHeldByRollouts // they are sorted by time
	for i, t := range p.PendingRevocations {
		switch {
		case o.isKeptByPause(p, t.ID):
		case t.RevokeTime.After(o.Now):
			p.requeueBy(t.RevokeTime.Time)
		case held && i >= latest && !o.isDenied(t.ID):
			p.requeueBy(o.Now.Add(o.Deployment.VerifyInterval()))
		case o.canCallServer() && o.failureOf(Revoke) == nil && !o.isPublished(t.ID):
			p.Action = Revoke
			p.Revoke = append(p.Revoke, TokenRef{ID: t.ID, Name: t.Name})
		default:
			p.requeueBy(o.Now.Add(o.Deployment.VerifyInterval()))
		}
	}
}
