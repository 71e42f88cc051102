// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"cmp"
	"fmt"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// renewalObstacle is why the operator's own token is not renewed although the spec asks for it. It
// ends with a change of the Secret that holds the token.
type renewalObstacle struct{ reason, message string }

// RenewalObstacles are the reasons of TokenRenewed for which a renewal waits until a person changes
// something.
func RenewalObstacles() []string {
	return []string{v1alpha1.ReasonSecretManaged, v1alpha1.ReasonSecretImmutable, v1alpha1.ReasonTokenReverted}
}

// findRenewalObstacle returns what is in the way of a renewal, nil if nothing is: the Secret could
// not be written, or another writer puts the former token back, so that minting would never end
// (B114).
func findRenewalObstacle(o Observation) *renewalObstacle {
	if !isRenewalWanted(o) {
		return nil
	}
	ref, secret := o.Deployment.Spec.Token.SecretRef, o.Renewal.Secret
	switch {
	case secret.Controller != "":
		return &renewalObstacle{v1alpha1.ReasonSecretManaged, fmt.Sprintf(
			"Secret %q belongs to %s, which would put the former token back: remove token.renew and have the token "+
				"replaced where %s takes it from, or name a Secret that nothing else writes", ref.Name, secret.Controller,
			secret.Controller)}
	case secret.Immutable:
		return &renewalObstacle{v1alpha1.ReasonSecretImmutable, fmt.Sprintf(
			"Secret %q is immutable, so it cannot take a renewed token: delete it and create it again without immutable, "+
				"or remove token.renew", ref.Name)}
	case IsTokenReverted(o):
		return &renewalObstacle{v1alpha1.ReasonTokenReverted, fmt.Sprintf(
			"%s has put a former token back into Secret %q, key %q: exclude the Secret from what it writes, and write "+
				"another token, or remove token.renew", describeWriter(secret), ref.Name, ref.DataKey())}
	}
	return nil
}

// IsTokenReverted reports whether the Secret of the operator's own token holds one that the operator
// has replaced. Its annotations say so, or this process remembers it, or the server lists a later
// token of the operator that was in use: one that was minted and never stored, because of a crash,
// was not.
func IsTokenReverted(o Observation) bool {
	held := o.Config.TokenID
	switch held {
	case "":
		return false
	case o.Renewal.Predecessor, o.Renewal.Former:
		return true
	}
	verified := o.Verification.Token
	if verified.ID != held || verified.CreatedAt.IsZero() {
		return false
	}
	for _, t := range o.OwnTokens {
		later := t.Serial > verified.Serial && t.CreatedAt.After(verified.CreatedAt)
		if later && t.ID != held && !t.LastUsedAt.IsZero() {
			return true
		}
	}
	return false
}

func describeWriter(s TokenSecret) string {
	if s.Writer == "" {
		return "another writer"
	}
	return fmt.Sprintf("field manager %q", s.Writer)
}

// describeTokenWriter adds to the message about a refused token, which the operator should have
// renewed, whose it is. Empty: the token is not known to be another writer's.
func describeTokenWriter(o Observation) string {
	secret := o.Renewal.Secret
	if !isRenewalWanted(o) || o.Verification.Result.Reason != v1alpha1.ReasonUnauthorized {
		return ""
	}
	who := cmp.Or(secret.Controller, describeWriter(secret))
	switch {
	case IsTokenReverted(o):
		return fmt.Sprintf("; %s has put a former token back: exclude the Secret from what it writes", who)
	case secret.Writer != "":
		return fmt.Sprintf("; %s has last written the token", who)
	}
	return ""
}
