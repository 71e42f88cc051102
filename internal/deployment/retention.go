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

// lastUsedResolution is how much later than it says a token may have been used last: the server
// records a use once an hour (contract B.7).
const lastUsedResolution = time.Hour

// RetentionState is where a session stands with regard to retention.
type RetentionState int

const (
	// Exempt is a session that has no credential now, or one that nobody may take: it
	// waits for its first token or its workspace, is paused, or is about to return. It
	// is never retired, and keeps its place.
	Exempt RetentionState = iota
	// Active is a session with a credential.
	Active
	// Retired is a session whose credential retention keeps away.
	Retired
)

// Candidate is a session that mints, as retention sees it.
type Candidate struct {
	// UID of the session; no two candidates share one.
	UID string
	// CreatedAt decides between two that were active at the same time.
	CreatedAt time.Time
	// LastActive is when it was last used, or as good as used, by the operator's clock.
	LastActive time.Time
	State      RetentionState
}

// Policy is spec.retention.
type Policy struct {
	// IdleTimeout; zero: none.
	IdleTimeout time.Duration
	// MaxSessions that are kept; zero: no limit.
	MaxSessions int
}

// PolicyOf reads spec.retention; absent: the zero policy, which retires nobody.
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

// RetentionDecision is what retention says of one session.
type RetentionDecision struct {
	// MayReturn says that nothing keeps a retired session away any more.
	MayReturn bool
	// Reason and Message say why a session is retired, or stays so; empty with Return.
	Reason, Message string
	// LastActiveTime is what the ruling goes by. One about a session that was active since
	// is out of date.
	LastActiveTime time.Time
}

// DecideRetention rules on the sessions of a deployment, by what the server's list of tokens
// said at asOf (B27, B28). Sessions that it leaves out stay as they are.
//
// First go all that nobody has used for the timeout, then, as long as there are more
// than the limit, the least recently used ones. Retired ones return while there is
// room, the most recently used ones first; they push nobody out, and those that are
// away keep their places: a workspace that stops for the night changes nothing for
// others. So deciding again on the outcome changes nothing.
func DecideRetention(candidates []Candidate, policy Policy, asOf time.Time) map[string]RetentionDecision {
	rulings := map[string]RetentionDecision{}
	kept := standing(candidates, Active)
	rest := kept[:0:0]
	for _, c := range kept {
		if policy.idle(c, asOf) {
			rulings[c.UID] = policy.ruling(c, v1alpha1.RetirementIdle)
		} else {
			rest = append(rest, c)
		}
	}
	if most := policy.MaxSessions; most > 0 && len(rest) > most {
		for _, c := range rest[most:] {
			rulings[c.UID] = policy.ruling(c, v1alpha1.RetirementSessionLimit)
		}
	}
	room := policy.MaxSessions - len(rest) - len(standing(candidates, Exempt)) // none, where somebody goes
	for _, c := range standing(candidates, Retired) {
		switch {
		case policy.idle(c, asOf):
			rulings[c.UID] = policy.ruling(c, v1alpha1.RetirementIdle)
		case policy.MaxSessions > 0 && room <= 0:
			rulings[c.UID] = policy.ruling(c, v1alpha1.RetirementSessionLimit)
		default:
			rulings[c.UID] = RetentionDecision{MayReturn: true, LastActiveTime: c.LastActive}
			room--
		}
	}
	return rulings
}

// standing picks the candidates that stand so, the most recently active ones first; of
// two that were active at the same time the older one is last.
func standing(candidates []Candidate, where RetentionState) []Candidate {
	var found []Candidate
	for _, c := range candidates {
		if c.State == where {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b Candidate) int {
		return cmp.Or(b.LastActive.Compare(a.LastActive), b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.UID, a.UID))
	})
	return found
}

// idle reports whether nobody can have used a session for the timeout.
func (p Policy) idle(c Candidate, asOf time.Time) bool {
	return p.IdleTimeout > 0 && asOf.Sub(c.LastActive) >= p.IdleTimeout+lastUsedResolution
}

func (p Policy) ruling(c Candidate, reason string) RetentionDecision {
	why := fmt.Sprintf("the deployment keeps no more than %d sessions, those that were used last (retention.maxSessions); this one returns by itself when there is room", p.MaxSessions)
	if reason == v1alpha1.RetirementIdle {
		why = fmt.Sprintf("the server has not seen its token used for %s (retention.idleTimeout)", short(p.IdleTimeout))
	}
	return RetentionDecision{Reason: reason, Message: why, LastActiveTime: c.LastActive}
}

// short is a length of time without the zeros that nobody writes: 720h.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// rulings are what retention says now; nil: nobody can tell, and all stays as it is.
// They go by a list of tokens that is complete.
func rulings(o Observation) map[string]RetentionDecision {
	if !o.Verification.Result.OK() || o.TokenListing.LastSuccessTime.IsZero() || !o.Deployment.DeletionTimestamp.IsZero() {
		return nil
	}
	return DecideRetention(o.Sessions.Candidates, PolicyOf(o.Deployment.Spec.Retention), o.TokenListing.LastSuccessTime)
}
