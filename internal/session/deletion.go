// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// beingDeleted cleans up after a deleted session: the Secret first, then a token that a lost
// response may have left on the server, then all minted tokens, then the grant, then the finalizer.
// If the server cannot be called it waits, up to the revocation timeout.
//
//	status names the token ──► DeleteSecret or RetainSecret ──► FindLostToken ──► Revoke
//	  ──► ForgetGrant ──► RemoveFinalizer
//
// A step that fails is tried again by the loop until the timeout, then RemoveFinalizer is next.
func beingDeleted(o Observation) (Plan, bool) {
	s := o.Session
	switch {
	case s.DeletionTimestamp.IsZero():
		return Plan{}, false
	case !slices.Contains(s.Finalizers, v1alpha1.SessionFinalizer):
		return Plan{SkipStatusUpdate: true}, true
	case o.failureOf(RemoveFinalizer) != nil:
		p := notReady(v1alpha1.ReasonTerminating, stableFailure(o.failureOf(RemoveFinalizer)))
		p.RevokeAll = true
		return p, true
	}
	if f := o.failureOf(DeleteSecret, RetainSecret, FindLostToken, Revoke, ForgetGrant); f != nil {
		return waitForRevocation(o, stableFailure(f)), true
	}
	if o.Secret.Exists {
		return removeSecret(o), true
	}
	return revokeOnServer(o), true
}

// removeSecret deletes the Secret, or retains it without an owner if the spec says so.
func removeSecret(o Observation) Plan {
	if !o.isRecordedInStatus() && o.Now.Before(o.deletionDeadline()) {
		return o.recordTokenFirst(v1alpha1.ReasonTerminating, "the session is being deleted; its Secret is next")
	}
	if spec := o.Session.Spec.Secret; spec != nil && spec.DeletionPolicy == v1alpha1.DeletionPolicyRetain {
		return Plan{Action: RetainSecret}
	}
	return Plan{Action: DeleteSecret}
}

// revokeOnServer revokes everything that the session has or may have on the server. Without its deployment,
// which exists until its last session is gone, a session that has had no token has lost none: the finalizer
// may be there from its creation.
func revokeOnServer(o Observation) Plan {
	pending := pendingRevocations(o, true)
	mayHaveLost := o.method().mints() && !o.LostTokenSearched && o.MintedSerial < max(o.nextSerial()-1, 1) &&
		(o.Deployment.Found || o.nextSerial() > 1)
	switch {
	case len(pending) == 0 && !mayHaveLost && !o.Grant.Exists:
		return Plan{Action: RemoveFinalizer}
	case !o.Deployment.Found || !o.Deployment.Resolved:
		return waitForRevocation(o,
			"the CoderDeployment does not exist, or its settings were never valid: restore it, or correct them")
	case mayHaveLost:
		return Plan{Action: FindLostToken, Mint: MintRequest{Serial: o.nextSerial()}}
	case len(pending) == 0:
		return Plan{Action: ForgetGrant}
	}
	return Plan{Action: Revoke, Revoke: AllTokens(o)}
}

// waitForRevocation reports what the deletion waits for, and removes the finalizer after the
// timeout.
func waitForRevocation(o Observation, why string) Plan {
	pending := pendingRevocations(o, true)
	ids := make([]string, 0, len(pending))
	for _, t := range pending {
		ids = append(ids, t.ID)
	}
	if o.Grant.Held {
		ids = append(ids, o.Grant.ID)
	}
	end := o.deletionDeadline()
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
	p := notReady(v1alpha1.ReasonAwaitingDeployment,
		fmt.Sprintf("the deletion waits until %s can be revoked: %s", what, why))
	p.RevokeAll = true
	p.Backoff = len(o.Failures) == 0
	p.RequeueAt = end
	if !o.Secret.Exists {
		p.Token = o.Session.Status.Token // the next pass, too, has to know the last serial
	}
	return p
}

// deletionDeadline is when the finalizer is removed even if tokens are left on the server. If the
// deployment cannot be called any more because its namespace is deleted, too, that is soon (B117).
func (o Observation) deletionDeadline() time.Time {
	timeout, d := o.RevocationTimeout, o.Deployment
	if lost := !d.Found || !d.Resolved && d.Problem != ""; lost && d.Terminating {
		timeout = min(timeout, lostDeploymentTimeout)
	}
	return o.Session.DeletionTimestamp.Add(timeout)
}

// lostDeploymentTimeout is how long a deletion waits for a deployment that goes with its namespace.
const lostDeploymentTimeout = 10 * time.Second

// isRecordedInStatus reports whether status names the minted token that is published. The Secret is
// not removed before that: after a crash no record of the token would be left (B40).
func (o Observation) isRecordedInStatus() bool {
	token := o.Secret.Token
	if !token.Minted() {
		return true
	}
	if was := o.Session.Status.Token; was != nil && was.ID == token.ID {
		return true
	}
	return slices.ContainsFunc(o.Session.Status.PendingRevocations, func(t v1alpha1.PendingRevocation) bool {
		return t.ID == token.ID
	})
}

// recordTokenFirst writes status before the published token is removed.
func (o Observation) recordTokenFirst(reason, message string) Plan {
	p := notReady(reason, message)
	p.RevokeAll = true
	p.RequeueAt = o.Now.Add(requeueSoon)
	return p
}

// requeueSoon is the delay until the next pass if status has to be written first.
const requeueSoon = time.Second
