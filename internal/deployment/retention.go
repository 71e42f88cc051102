// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// lastUsedResolution is how much later a token may have been used than the server says: it records
// a use at most once an hour (contract B.7).
const lastUsedResolution = time.Hour

// RetentionState is the state of a session for retention.
type RetentionState int

const (
	// Exempt is a session that has no credential now, or one that may not be removed: it waits for
	// its first token or its workspace, or is about to return. It is never retired, and those of its access
	// rule do not return in its place.
	Exempt RetentionState = iota
	// Active is a session with a credential.
	Active
	// Retired is a session that retention keeps without a credential.
	Retired
	// Held is a session with a credential of which a person has asked for something that is not done yet. It
	// counts like an active one, so that others of its access rule are retired in its place, and is never idle.
	// It loses its credential where sessions that are held or paused are too many by themselves: neither
	// asking for what cannot be done nor a pause keeps one above the limit.
	Held
	// Paused is a session with a credential that is paused. It counts like a held one, after those.
	Paused
)

// Candidate is a session that mints, as retention sees it.
type Candidate struct {
	// UID of the session; no two candidates share one.
	UID string
	// CreatedAt decides between two that were active at the same time.
	CreatedAt time.Time
	// LastActive is when, by the operator's clock, it was last used, created, changed or renewed.
	LastActive time.Time
	// Since is when, by the operator's clock, a person last created, changed or renewed it.
	Since time.Time
	// Rule is the name of the access rule that lets it in. Empty: it is in the deployment's namespace.
	Rule  string
	State RetentionState
}

// Policy is spec.retention.
type Policy struct {
	// IdleTimeout; zero: none.
	IdleTimeout time.Duration
	// MaxSessions that keep a credential; zero: no limit.
	MaxSessions int
	// RuleLimits are the same for the sessions of an access rule, by its name. Absent: no limit.
	RuleLimits map[string]int
}

// PolicyOf reads spec.retention and the limits of spec.access. Without either it is the zero policy,
// which retires no session.
func PolicyOf(spec *v1alpha1.CoderDeploymentSpec) Policy {
	var policy Policy
	if retention := spec.Retention; retention != nil {
		policy.IdleTimeout = retention.IdleTimeout.Or(0)
		if retention.MaxSessions != nil {
			policy.MaxSessions = int(*retention.MaxSessions)
		}
	}
	for _, rule := range spec.Access {
		if rule.MaxSessions == nil {
			continue
		}
		if policy.RuleLimits == nil {
			policy.RuleLimits = map[string]int{}
		}
		policy.RuleLimits[rule.Name] = int(*rule.MaxSessions)
	}
	return policy
}

// IsZero reports whether the policy retires no session.
func (p Policy) IsZero() bool {
	return p.IdleTimeout == 0 && p.MaxSessions == 0 && len(p.RuleLimits) == 0
}

// RetentionDecision is what retention decides about one session.
type RetentionDecision struct {
	// MayReturn is true if retention has no reason any more to keep the session retired.
	MayReturn bool
	// Reason and Message are why a session is retired or stays retired; empty with MayReturn.
	Reason, Message string
	// LastActiveTime is the activity that the decision is based on. The decision is out of date for
	// a session that was active later.
	LastActiveTime time.Time
	// Held is true if it was made about a session in this state.
	Held bool
}

// DecideRetention decides about the sessions of a deployment, based on the server's token list at
// asOf (B27, B28). Sessions without a decision stay as they are.
//
// First all sessions that were unused for the timeout are retired, then the least recently used
// ones above the limit of their access rule, then those above the limit of the deployment. Retired
// sessions return while there is room, the most recently used ones first. A returning session retires no
// other one, and exempt sessions keep their places, so that a workspace that stops for the night does
// not affect others. Held and paused sessions take places before active ones. Deciding again on the outcome changes
// nothing.
func DecideRetention(candidates []Candidate, policy Policy, asOf time.Time) map[string]RetentionDecision {
	decisions := map[string]RetentionDecision{}
	active := candidatesIn(candidates, Active)
	active = slices.DeleteFunc(active, func(c Candidate) bool {
		idle := policy.isIdle(c, asOf)
		if idle {
			decisions[c.UID] = policy.retire(c, v1alpha1.RetirementIdle)
		}
		return idle
	})
	kept := slices.Concat(candidatesIn(candidates, Held), candidatesIn(candidates, Paused), active)
	kept = policy.retireAbove(decisions, kept, func(c Candidate) (int, bool) {
		limit, limited := policy.RuleLimits[c.Rule]
		return limit, limited
	})
	seats := policy.seats(kept)
	kept = policy.retireAbove(decisions, kept, func(c Candidate) (int, bool) {
		return seats[c.Rule], seats != nil
	})
	policy.decideReturns(decisions, kept, candidates, asOf)
	return decisions
}

// retireAbove retires the sessions above the limit of their access rule, and returns the others. Those that come
// first stay.
func (p Policy) retireAbove(
	decisions map[string]RetentionDecision, active []Candidate, limitOf func(Candidate) (limit int, limited bool),
) []Candidate {
	counts := map[string]int{}
	return slices.DeleteFunc(active, func(c Candidate) bool {
		limit, limited := limitOf(c)
		if limited && counts[c.Rule] >= limit {
			decisions[c.UID] = p.retire(c, v1alpha1.RetirementSessionLimit)
			return true
		}
		counts[c.Rule]++
		return false
	})
}

// seats is how many sessions of each access rule keep a credential under the limit of the deployment;
// nil: there is no limit, or it is kept. Sessions that were asked for earlier have their places first, so
// that new sessions of one rule retire none of another (B136).
func (p Policy) seats(active []Candidate) map[string]int {
	if p.MaxSessions <= 0 || len(active) <= p.MaxSessions {
		return nil
	}
	byAge := slices.SortedFunc(slices.Values(active), compareSince)
	seats := map[string]int{}
	for _, c := range byAge[:p.MaxSessions] {
		seats[c.Rule]++
	}
	return seats
}

// decideReturns decides about retired sessions, beside those that keep their places. Exempt sessions keep
// theirs, too; under the limit of the deployment only against those of their own rule and those that were
// asked for later, so that new sessions of one rule keep none of another away (B136).
func (p Policy) decideReturns(decisions map[string]RetentionDecision, kept, candidates []Candidate, asOf time.Time) {
	exempt := candidatesIn(candidates, Exempt)
	slices.SortFunc(exempt, compareSince)
	ofRule := map[string][]Candidate{}
	for _, c := range exempt {
		ofRule[c.Rule] = append(ofRule[c.Rule], c)
	}
	total, counts := len(kept), countByRule(slices.Concat(kept, exempt))
	for _, c := range candidatesIn(candidates, Retired) {
		limit, limited := p.RuleLimits[c.Rule]
		earlier, _ := slices.BinarySearchFunc(exempt, c, compareSince)
		earlierOfRule, _ := slices.BinarySearchFunc(ofRule[c.Rule], c, compareSince)
		before := earlier - earlierOfRule + len(ofRule[c.Rule])
		switch {
		case p.isIdle(c, asOf):
			decisions[c.UID] = p.retire(c, v1alpha1.RetirementIdle)
		case p.MaxSessions > 0 && total+before >= p.MaxSessions, limited && counts[c.Rule] >= limit:
			decisions[c.UID] = p.retire(c, v1alpha1.RetirementSessionLimit)
		default:
			decisions[c.UID] = RetentionDecision{MayReturn: true, LastActiveTime: c.LastActive}
			total++
			counts[c.Rule]++
		}
	}
}

// compareSince orders candidates by when they were asked for, the earliest first.
func compareSince(a, b Candidate) int {
	return cmp.Or(a.Since.Compare(b.Since), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.UID, b.UID))
}

func countByRule(candidates []Candidate) map[string]int {
	counts := map[string]int{}
	for _, c := range candidates {
		counts[c.Rule]++
	}
	return counts
}

// candidatesIn returns the candidates in a state, the most recently active ones first; of two that
// were active at the same time, the older one is last.
func candidatesIn(candidates []Candidate, state RetentionState) []Candidate {
	var found []Candidate
	for _, c := range candidates {
		if c.State == state {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b Candidate) int {
		return cmp.Or(b.LastActive.Compare(a.LastActive), b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.UID, a.UID))
	})
	return found
}

// isIdle reports whether a session was certainly not used for the timeout.
func (p Policy) isIdle(c Candidate, asOf time.Time) bool {
	return p.IdleTimeout > 0 && asOf.Sub(c.LastActive) >= p.IdleTimeout+lastUsedResolution
}

func (p Policy) retire(c Candidate, reason string) RetentionDecision {
	const others = "and others were used more recently or were there first; this one returns automatically when there " +
		"is room"
	limit, limited := p.RuleLimits[c.Rule]
	var why string
	switch {
	case reason == v1alpha1.RetirementIdle:
		why = fmt.Sprintf("its token has not been used for %s (retention.idleTimeout)", formatDuration(p.IdleTimeout))
	case limited && (p.MaxSessions == 0 || limit <= p.MaxSessions):
		why = fmt.Sprintf("the access rule for this namespace lets %d sessions in (access[].maxSessions), %s", limit, others)
	default:
		why = fmt.Sprintf("the CoderDeployment keeps at most %d sessions (retention.maxSessions), %s", p.MaxSessions, others)
	}
	return RetentionDecision{Reason: reason, Message: why, LastActiveTime: c.LastActive, Held: c.State == Held}
}

// formatDuration formats a duration without trailing zero units: 720h.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// retentionDecisions are the decisions of retention now; nil: no decision is possible, and all
// sessions stay as they are. They require a complete token list.
func retentionDecisions(o Observation) map[string]RetentionDecision {
	asOf, deleted := o.TokenListing.LastSuccessTime, !o.Deployment.DeletionTimestamp.IsZero()
	if !o.Verification.Result.OK() || asOf.IsZero() || deleted {
		return nil
	}
	return DecideRetention(o.Sessions.Candidates, PolicyOf(&o.Deployment.Spec), asOf)
}
