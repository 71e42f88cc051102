package session

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// deleting takes a deleted session apart: the Secret first, then what a lost
// answer may have left, then every token that it ever minted, then the
// finalizer. Where the server cannot be asked it waits, up to the timeout.
func deleting(o Observation) (Plan, bool) {
	s := o.Session
	if s.DeletionTimestamp.IsZero() {
		return Plan{}, false
	}
	if !slices.Contains(s.Finalizers, v1alpha1.SessionFinalizer) {
		return Plan{Keep: true}, true
	}
	if o.Failure != nil && o.Failure.Class == Conflict {
		return Plan{Keep: true, Again: true}, true
	}
	if o.Secret.Exists && o.Failure == nil {
		if s.Spec.Secret != nil && s.Spec.Secret.DeletionPolicy == v1alpha1.DeletionPolicyRetain {
			return Plan{Do: Release}, true
		}
		return Plan{Do: Withdraw}, true
	}
	doomed := retiring(o, true)
	mayHaveLost := s.Spec.Auth.Mint != nil && !o.Swept
	if len(doomed) == 0 && !mayHaveLost {
		return Plan{Do: RemoveFinalizer}, true
	}
	if o.Failure == nil && o.Deployment.Found && o.Deployment.Resolved {
		if mayHaveLost {
			return Plan{Do: Sweep, Mint: Order{Serial: o.lastSerial() + 1}}, true
		}
		p := Plan{Do: Revoke}
		for _, t := range doomed {
			p.Revoke = append(p.Revoke, Doomed{ID: t.ID, Name: t.Name})
		}
		return p, true
	}
	return waitToRevoke(o, doomed), true
}

// waitToRevoke says what the deletion waits for, and gives up after the timeout.
func waitToRevoke(o Observation, doomed []v1alpha1.RetiringToken) Plan {
	ids := make([]string, 0, len(doomed))
	for _, t := range doomed {
		ids = append(ids, t.ID)
	}
	end := o.Session.DeletionTimestamp.Add(o.RevocationTimeout)
	if !o.Now.Before(end) {
		return Plan{Do: RemoveFinalizer, Abandoned: ids}
	}
	why := "the deployment is missing or was never resolved"
	if o.Failure != nil {
		why = o.Failure.Message
	}
	what := "a token that may have been minted"
	if len(ids) > 0 {
		what = "tokens " + strings.Join(ids, ", ")
	}
	p := notReady(v1alpha1.ReasonAwaitingDeployment, fmt.Sprintf("deleted; waits to revoke %s: %s", what, why))
	p.Backoff = true
	p.Wake = end
	return p
}
