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
	// its first token or its workspace, is paused, or is about to return. It is never retired, and
	// counts towards the limit.
	Exempt RetentionState = iota
	// Active is a session with a credential.
	Active
	// Retired is a session that retention keeps without a credential.
	Retired
)

// Candidate is a session that mints, as retention sees it.
type Candidate struct {
	// UID of the session; no two candidates share one.
	UID string
	// CreatedAt decides between two that were active at the same time.
	CreatedAt time.Time
	// LastActive is when, by the operator's clock, it was last used, created, changed or renewed.
	LastActive time.Time
	State      RetentionState
}

// Policy is spec.retention.
type Policy struct {
	// IdleTimeout; zero: none.
	IdleTimeout time.Duration
	// MaxSessions that keep a credential; zero: no limit.
	MaxSessions int
}

// PolicyOf reads spec.retention; nil gives the zero policy, which retires no session.
func PolicyOf(retention *v1alpha1.Retention) Policy {
	if retention == nil {
		return Policy{}
	}
	policy := Policy{IdleTimeout: retention.IdleTimeout.Or(0)}
	if retention.MaxSessions != nil {
		policy.MaxSessions = int(*retention.MaxSessions)
	}
	return policy
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
}

// DecideRetention decides about the sessions of a deployment, based on the server's token list at
// asOf (B27, B28). Sessions without a decision stay as they are.
//
// First all sessions that were unused for the timeout are retired, then the least recently used
// ones above the limit. Retired sessions return while there is room, the most recently used ones
// first. A returning session retires no other one, and exempt sessions keep their places, so that a
// workspace that stops for the night does not affect others. Deciding again on the outcome changes
// nothing.
func DecideRetention(candidates []Candidate, policy Policy, asOf time.Time) map[string]RetentionDecision {
	decisions := map[string]RetentionDecision{}
	active := candidatesIn(candidates, Active)
	rest := active[:0:0]
	for _, c := range active {
		if policy.isIdle(c, asOf) {
			decisions[c.UID] = policy.retire(c, v1alpha1.RetirementIdle)
		} else {
			rest = append(rest, c)
		}
	}
	if most := policy.MaxSessions; most > 0 && len(rest) > most {
		for _, c := range rest[most:] {
			decisions[c.UID] = policy.retire(c, v1alpha1.RetirementSessionLimit)
		}
	}
	// Negative if sessions above the limit are retired, so that none returns.
	room := policy.MaxSessions - len(rest) - len(candidatesIn(candidates, Exempt))
	for _, c := range candidatesIn(candidates, Retired) {
		switch {
		case policy.isIdle(c, asOf):
			decisions[c.UID] = policy.retire(c, v1alpha1.RetirementIdle)
		case policy.MaxSessions > 0 && room <= 0:
			decisions[c.UID] = policy.retire(c, v1alpha1.RetirementSessionLimit)
		default:
			decisions[c.UID] = RetentionDecision{MayReturn: true, LastActiveTime: c.LastActive}
			room--
		}
	}
	return decisions
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
	why := fmt.Sprintf(
		"the CoderDeployment keeps at most %d sessions (retention.maxSessions), and others were used more "+
			"recently; this one returns automatically when there is room", p.MaxSessions)
	if reason == v1alpha1.RetirementIdle {
		why = fmt.Sprintf("its token has not been used for %s (retention.idleTimeout)", formatDuration(p.IdleTimeout))
	}
	return RetentionDecision{Reason: reason, Message: why, LastActiveTime: c.LastActive}
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
	return DecideRetention(o.Sessions.Candidates, PolicyOf(o.Deployment.Spec.Retention), asOf)
}
