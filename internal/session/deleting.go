// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// deleting takes a deleted session apart: the Secret first, then what a lost
// answer may have left, then every token that it ever minted, then its grant, then
// the finalizer. Where the server cannot be asked it waits, up to the timeout.
//
//	status names the token ──► Withdraw or Release ──► Sweep ──► Revoke ──► ForgetGrant ──► RemoveFinalizer
//	                                  │ fails            │ fails   │ fails     │ fails            ▲
//	                                  └──────────────────┴─────────┴───────────┴─► wait ──────────┘ after the timeout
func deleting(o Observation) (Plan, bool) {
	s := o.Session
	switch {
	case s.DeletionTimestamp.IsZero():
		return Plan{}, false
	case !slices.Contains(s.Finalizers, v1alpha1.SessionFinalizer):
		return Plan{SkipStatusUpdate: true}, true
	case o.Failure != nil:
		return afterFailure(o), true
	case o.Secret.Exists:
		return leaveSecret(o), true
	}
	return leaveServer(o), true
}

// afterFailure goes on at once only where another look helps.
func afterFailure(o Observation) Plan {
	if o.Failure.Class == Conflict {
		return Plan{SkipStatusUpdate: true, RequeueNow: true}
	}
	why := o.Failure.Message
	if o.Failure.Class == Wait {
		why = rateLimited
	}
	return waitToLeave(o, why)
}

// leaveSecret deletes the Secret, or sets it free.
func leaveSecret(o Observation) Plan {
	if !o.recordedInStatus() && o.Now.Before(o.patienceEnds()) {
		return o.nameFirst(v1alpha1.ReasonTerminating, "deleted; its Secret goes next")
	}
	if spec := o.Session.Spec.Secret; spec != nil && spec.DeletionPolicy == v1alpha1.DeletionPolicyRetain {
		return Plan{Action: RetainSecret}
	}
	return Plan{Action: DeleteSecret}
}

// leaveServer revokes all that there is or may be.
func leaveServer(o Observation) Plan {
	doomed := retiring(o, true)
	mayHaveLost := o.Session.Spec.Auth.Mint != nil && !o.LostTokenSearched
	switch {
	case len(doomed) == 0 && !mayHaveLost && !o.Grant.Exists:
		return Plan{Action: RemoveFinalizer}
	case !o.Deployment.Found || !o.Deployment.Resolved:
		return waitToLeave(o, "the deployment is missing or was never resolved")
	case mayHaveLost:
		return Plan{Action: FindLostToken, Mint: MintRequest{Serial: o.lastSerial() + 1}}
	case len(doomed) == 0:
		return Plan{Action: ForgetGrant}
	}
	p := Plan{Action: Revoke}
	for _, t := range doomed {
		p.Revoke = append(p.Revoke, TokenRef{ID: t.ID, Name: t.Name})
	}
	return p
}

// waitToLeave says what the deletion waits for, and gives up after the timeout.
func waitToLeave(o Observation, why string) Plan {
	doomed := retiring(o, true)
	ids := make([]string, 0, len(doomed))
	for _, t := range doomed {
		ids = append(ids, t.ID)
	}
	if o.Grant.Held {
		ids = append(ids, o.Grant.ID)
	}
	end := o.patienceEnds()
	if !o.Now.Before(end) {
		return Plan{Action: RemoveFinalizer, Abandoned: ids}
	}
	what := "a token that may have been minted"
	switch {
	case len(ids) > 0:
		what = "tokens " + strings.Join(ids, ", ")
	case o.Grant.Exists:
		what = "its OAuth registration"
	}
	p := notReady(v1alpha1.ReasonAwaitingDeployment, fmt.Sprintf("deleted; waits to revoke %s: %s", what, why))
	p.RevokeAll = true
	p.Backoff = true
	p.RequeueAt = end
	if !o.Secret.Exists {
		p.Token = o.Session.Status.Token // the next pass, too, has to know the last serial
	}
	return p
}

// patienceEnds is when a deleted session goes, whatever is left.
func (o Observation) patienceEnds() time.Time {
	return o.Session.DeletionTimestamp.Add(o.RevocationTimeout)
}

// recordedInStatus reports whether status names the minted token that is published. A step
// after which nothing but status would know the token is not made before: a crash
// would leave it on the server (B40).
func (o Observation) recordedInStatus() bool {
	token := o.Secret.Token
	if !token.Minted() {
		return true
	}
	if was := o.Session.Status.Token; was != nil && was.ID == token.ID {
		return true
	}
	return slices.ContainsFunc(o.Session.Status.PendingRevocations, func(t v1alpha1.PendingRevocation) bool { return t.ID == token.ID })
}

// nameFirst lets status be written before the published token is taken away.
func (o Observation) nameFirst(reason, message string) Plan {
	p := notReady(reason, message)
	p.RevokeAll = true
	p.RequeueAt = o.Now.Add(soon)
	return p
}

// soon is when to go on after a status that had to be written first.
const soon = time.Second
