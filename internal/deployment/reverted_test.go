// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// renewalIsDue is a deployment whose own token "held", minted at noon with the serial 3, is due.
func renewalIsDue(options ...option) Observation {
	return newRenewing(144*time.Hour, "48h", append([]option{atLaterTime(96 * time.Hour), func(o *Observation) {
		o.Verification.Token.ID, o.Verification.Token.Serial = "held", 3
		o.Config.TokenID, o.Config.SendsToken = "held", true
	}}, options...)...)
}

// withOwnToken lists another token of the operator's own, made so long after the one that is held.
func withOwnToken(serial int64, age time.Duration, used bool) option {
	return func(o *Observation) {
		t := OwnToken{ID: "other", Serial: serial, Minted: true, CreatedAt: noon.Add(age)}
		if used {
			t.LastUsedAt = t.CreatedAt
		}
		o.OwnTokens = append(o.OwnTokens, o.Verification.Token, t)
	}
}

func withTokenSecret(s TokenSecret) option { return func(o *Observation) { o.Renewal.Secret = s } }

// B114: a renewal waits where the new token would not stay, and says why.
func TestObstaclesToARenewal(t *testing.T) {
	t.Parallel()
	predecessor := func(id string) option { return func(o *Observation) { o.Renewal.Predecessor = id } }
	former := func(id string) option { return func(o *Observation) { o.Renewal.Former = id } }
	supplied := func(o *Observation) { o.Verification.Token.Minted, o.Verification.Token.Serial = false, 0 }
	notRenewed := func(o *Observation) { o.Deployment.Spec.Token.Renew = nil }
	argo := withTokenSecret(TokenSecret{Writer: "argocd"})
	for name, tc := range map[string]struct {
		o      Observation
		reason string // empty: it is renewed
		says   string
	}{
		"nothing in the way": {renewalIsDue(), "", ""},
		"annotations say it": {renewalIsDue(predecessor("held"), argo), v1alpha1.ReasonTokenReverted, `"argocd" has put`},
		"memory says it":     {renewalIsDue(former("held")), v1alpha1.ReasonTokenReverted, "another writer has put"},
		"the server's list does": {
			renewalIsDue(withOwnToken(4, time.Hour, true)), v1alpha1.ReasonTokenReverted, "another token",
		},
		"of a supplied token, too": {
			renewalIsDue(supplied, withOwnToken(1, time.Hour, true)), v1alpha1.ReasonTokenReverted, "token.renew",
		},
		"minted and never stored":         {renewalIsDue(withOwnToken(4, time.Hour, false)), "", ""},
		"an older one that is still used": {renewalIsDue(withOwnToken(2, -time.Hour, true)), "", ""},
		"a person has written another one since": {
			renewalIsDue(supplied, predecessor("first"), former("first"), withOwnToken(1, -time.Hour, true)), "", "",
		},
		"a controller's Secret": {
			renewalIsDue(withTokenSecret(TokenSecret{Controller: `ExternalSecret "own"`})), v1alpha1.ReasonSecretManaged,
			`ExternalSecret "own"`,
		},
		"an immutable Secret": {
			renewalIsDue(withTokenSecret(TokenSecret{Immutable: true})), v1alpha1.ReasonSecretImmutable, "immutable",
		},
		"not asked for": {renewalIsDue(predecessor("held"), notRenewed), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := Decide(tc.o)
			renews := plan.Action == Renew
			if wanted := tc.reason == "" && tc.o.Deployment.Spec.Token.Renew != nil; renews != wanted {
				t.Errorf("does %q", plan.Action)
			}
			if tc.reason == "" {
				return
			}
			if !plan.RequeueAt.After(tc.o.Now) {
				t.Errorf("wakes at %s, now is %s", plan.RequeueAt, tc.o.Now)
			}
			checkTokenRenewed(t, plan, tc.reason, tc.says)
		})
	}
}

// checkTokenRenewed checks that TokenRenewed is False for a reason.
func checkTokenRenewed(t *testing.T, plan Plan, reason, says string) {
	t.Helper()
	for _, c := range plan.Conditions {
		if c.Type != v1alpha1.ConditionTokenRenewed {
			continue
		}
		if c.Status != "False" || c.Reason != reason || !strings.Contains(c.Message, says) {
			t.Errorf("TokenRenewed is %s %s: %s", c.Status, c.Reason, c.Message)
		}
		return
	}
	t.Error("there is no TokenRenewed")
}

// B114: before the first renewal of a process, the server's tokens are listed.
func TestARenewalWaitsForTheFirstList(t *testing.T) {
	t.Parallel()
	if plan := Decide(renewalIsDue(withoutTokenList)); plan.Action != List {
		t.Errorf("does %q", plan.Action)
	}
	failed := renewalIsDue(func(o *Observation) {
		o.TokenListing = TokenListing{Time: o.Now, Result: unreachable, Failures: 1}
	})
	if plan := Decide(failed); plan.Action != Renew {
		t.Errorf("does %q although the list cannot be had", plan.Action)
	}
}

// B111: what the API server says about the write of a renewed token is said.
func TestARenewalThatTheAPIServerRefuses(t *testing.T) {
	t.Parallel()
	plan := Decide(renewalIsDue(func(o *Observation) {
		o.Failures = failure.Set{{
			Action: string(Renew), Class: failure.Refused, Reason: v1alpha1.ReasonAPIServerRefused, Message: "no room",
		}}
	}))
	if plan.Action != Nothing {
		t.Errorf("does %q", plan.Action)
	}
	checkTokenRenewed(t, plan, v1alpha1.ReasonAPIServerRefused, "no room")
}

// B114: a token that is not the one that was verified or minted last is verified, although the settings
// are those that were verified before.
func TestAnotherTokenIsVerified(t *testing.T) {
	t.Parallel()
	o := renewalIsDue(func(o *Observation) { o.Config.TokenID = "former" })
	if plan := Decide(o); plan.Action != Verify {
		t.Errorf("does %q", plan.Action)
	}
}

// B114: the message about a refused token names the writer that has put it back.
func TestARefusedTokenNamesItsWriter(t *testing.T) {
	t.Parallel()
	dead := func(result authcheck.Result) option {
		return func(o *Observation) { o.Verification.Result, o.Verification.Token = result, OwnToken{} }
	}
	former := func(o *Observation) { o.Renewal.Former = "held" }
	forbidden := authcheck.Result{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonForbidden, Message: "403"}
	flux := withTokenSecret(TokenSecret{Writer: "flux"})
	for name, tc := range map[string]struct {
		o    Observation
		want string
	}{
		"put back": {
			renewalIsDue(dead(refused), former, flux),
			`; field manager "flux" has put a former token back: exclude the Secret from what it writes`,
		},
		"put back, it is not known by whom": {
			renewalIsDue(dead(refused), former),
			"; another writer has put a former token back: exclude the Secret from what it writes",
		},
		"whether it is a former one is not known": {
			renewalIsDue(dead(refused), flux), `; field manager "flux" has last written the token`,
		},
		"the operator's own":      {renewalIsDue(dead(refused)), "write a valid one there"},
		"another kind of refusal": {renewalIsDue(dead(forbidden), former, flux), "403"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range Decide(tc.o).Conditions {
				if c.Type == v1alpha1.ConditionReady && !strings.HasSuffix(c.Message, tc.want) {
					t.Errorf("message %q, want %q", c.Message, tc.want)
				}
			}
		})
	}
}
