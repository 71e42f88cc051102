// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// newRenewing is a verified deployment whose own token, minted at noon, has this lifetime and is to be
// renewed so long before its expiration.
func newRenewing(lifetime time.Duration, before v1alpha1.Duration, options ...option) Observation {
	return newDeployment("prod", append([]option{withVerification(accepted, 0), func(o *Observation) {
		o.Deployment.Spec.Token = &v1alpha1.OperatorToken{
			SecretRef: v1alpha1.TokenSecretRef{Name: "token"}, Renew: &v1alpha1.TokenRenewal{
				Lifetime: "144h", Before: before,
			},
		}
		o.Verification.Token = OwnToken{ID: "own", CreatedAt: noon, ExpiresAt: noon.Add(lifetime), Minted: true}
	}}, options...)...)
}

// atLaterTime moves the time to so long after noon, with a verification and a list just made.
func atLaterTime(d time.Duration) option {
	return func(o *Observation) {
		o.Now = noon.Add(d)
		o.Verification.Time, o.TokenListing.Time = o.Now, o.Now
	}
}

// supplied makes the token one that a person has supplied.
func supplied(o *Observation) { o.Verification.Token.Minted = false }

// B50
func TestTheOwnTokenIsRenewedInTime(t *testing.T) {
	t.Parallel()
	failedOnce := func(ago time.Duration) option {
		return func(o *Observation) {
			o.Renewal = Renewal{Time: o.Now.Add(-ago), Failures: 1, Result: unreachable}
		}
	}
	replaced := func(after time.Duration) option {
		return func(o *Observation) { o.Renewal.Predecessor, o.Renewal.RevokeAfter = "former", noon.Add(after) }
	}
	for name, tc := range map[string]struct {
		o    Observation
		want Action
	}{
		"long before its end":    {newRenewing(144*time.Hour, "48h", atLaterTime(95*time.Hour)), Nothing},
		"when its time has come": {newRenewing(144*time.Hour, "48h", atLaterTime(96*time.Hour)), Renew},
		"the server's clock is ahead": {
			newRenewing(144*time.Hour, "48h", atLaterTime(95*time.Hour), func(o *Observation) { o.Skew = time.Hour }), Renew,
		},
		"not asked for": {
			newRenewing(
				144*time.Hour, "48h", atLaterTime(96*time.Hour), func(o *Observation) { o.Deployment.Spec.Token.Renew = nil },
			),
			Nothing,
		},
		"its end is not known": {
			newRenewing(
				144*time.Hour, "48h", atLaterTime(96*time.Hour), func(o *Observation) { o.Verification.Token = OwnToken{} },
			),
			Nothing,
		},
		"a limit of 7 days below before: not at once": {newRenewing(168*time.Hour, "1000h", atLaterTime(time.Hour)), Nothing},
		"a limit of 7 days below before: at two thirds": {
			newRenewing(168*time.Hour, "1000h", atLaterTime(112*time.Hour)), Renew,
		},
		// B127
		"supplied, and ends sooner than before: at once": {
			newRenewing(24*time.Hour, "48h", atLaterTime(0), supplied), Renew,
		},
		"supplied, and ends later": {newRenewing(72*time.Hour, "48h", atLaterTime(time.Hour), supplied), Nothing},
		"supplied, with a limit of 7 days below before: at once": {
			newRenewing(168*time.Hour, "1000h", atLaterTime(time.Hour), supplied), Renew,
		},
		"after a failure it waits": {newRenewing(144*time.Hour, "48h", atLaterTime(96*time.Hour), failedOnce(0)), Nothing},
		"and tries again": {
			newRenewing(144*time.Hour, "48h", atLaterTime(96*time.Hour), failedOnce(time.Second)), Renew,
		},
		"settling: nothing": {
			newRenewing(144*time.Hour, "48h", atLaterTime(96*time.Hour), func(o *Observation) { o.Settling = true }), Nothing,
		},
		"its predecessor has its overlap": {
			newRenewing(144*time.Hour, "48h", atLaterTime(time.Minute), replaced(5*time.Minute)), Nothing,
		},
		"and is revoked after it": {
			newRenewing(144*time.Hour, "48h", atLaterTime(5*time.Minute), replaced(5*time.Minute)), RevokePredecessor,
		},
		"the one in use is never revoked": {
			newRenewing(144*time.Hour, "48h", atLaterTime(5*time.Minute), replaced(0), func(o *Observation) {
				o.Renewal.Predecessor = "own"
			}), Nothing,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := Decide(tc.o)
			if plan.Action != tc.want {
				t.Errorf("does %q, want %q", plan.Action, tc.want)
			}
			if plan.Action == Nothing && !plan.SkipStatusUpdate && !plan.RequeueAt.After(tc.o.Now) {
				t.Errorf("wakes at %s, now is %s", plan.RequeueAt, tc.o.Now)
			}
		})
	}
}

// B50, B92: a renewal that fails is a condition; without spec.token.renew there is none.
func TestTokenRenewedCondition(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		o      Observation
		reason string // empty: no condition
	}{
		"in time": {newRenewing(144*time.Hour, "48h"), v1alpha1.ReasonRenewed},
		"failing": {newRenewing(144*time.Hour, "48h", func(o *Observation) {
			o.Renewal = Renewal{Time: noon, Failures: 2, Result: refused}
		}), v1alpha1.ReasonUnauthorized},
		"its end is not known": {
			newRenewing(144*time.Hour, "48h", func(o *Observation) { o.Verification.Token = OwnToken{} }),
			v1alpha1.ReasonForbidden,
		},
		"not asked for": {newDeployment("prod", withVerification(accepted, 0)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var status v1alpha1.CoderDeploymentStatus
			Decide(tc.o).Apply(&status, tc.o)
			got := ""
			if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionTokenRenewed); c != nil {
				got = c.Reason
			}
			if got != tc.reason {
				t.Errorf("TokenRenewed: %q, want %q", got, tc.reason)
			}
		})
	}
}
