// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	fine := func(wake time.Duration) outcome {
		return outcome{Ready: "True Verified", Resolved: "True Resolved", Verified: "True Verified", Wake: wake}
	}
	broken := outcome{Ready: "False ConfigInvalid", Resolved: "False ReferenceMissing", Wake: each}
	every := func(d v1alpha1.Duration) option {
		return func(o *Observation) { o.Deployment.Spec.Verify.Interval = d }
	}
	checkRows(t, map[string]row{
		"the finalizer first": {newDeployment("prod", noFinalizer), outcome{Do: AddFinalizer}},
		"never verified":      {newDeployment("prod"), outcome{Do: Verify}},
		"verified: nothing until the interval": {
			newDeployment("prod", withVerification(accepted, time.Minute)), fine(4 * time.Minute),
		},
		"the interval is over": {newDeployment("prod", withVerification(accepted, each)), outcome{Do: Verify}},
		"the interval is the spec's": {
			newDeployment("prod", every("1h"), withVerification(accepted, each)), fine(55 * time.Minute),
		},
		"an interval that no server bears": {
			newDeployment("prod", every("1ms"), withVerification(accepted, 0)), fine(time.Second),
		},
		"B07 the same settings: nothing is asked": {newDeployment("prod", withVerification(accepted, 0)), fine(each)},
		"B04 other settings: verified": {
			newDeployment(
				"prod", withVerification(accepted, 0), func(o *Observation) { o.Config.Fingerprint = "hmac-sha256:next" },
			),
			outcome{Do: Verify},
		},
		"B08 settling: nothing is reported or asked": {
			newDeployment("prod", withVerification(refused, each), func(o *Observation) { o.Settling = true }),
			outcome{Keep: true},
		},
		"B46 a session met a refusal of the operator's token": {
			newDeployment(
				"prod", withVerification(accepted, 0), func(o *Observation) { o.ReverificationRequested = true },
			), outcome{Do: Verify},
		},
		"B11 an answer that is not believed is none": {
			newDeployment("prod", withVerification(authcheck.Result{Outcome: authcheck.ConfigChanging}, 0)), outcome{Do: Verify},
		},
		"B12 a key is missing: nothing is sent": {newDeployment("prod", withProblem(true, "no key")), broken},
		"B12 a value is malformed": {
			newDeployment("prod", withProblem(false, "no PEM")), outcome{
				Ready: "False ConfigInvalid", Resolved: "False ReferenceInvalid", Wake: each,
			},
		},
		"B12 missing weighs more than malformed": {
			newDeployment("prod", withProblem(true, "no key"), withProblem(false, "no PEM")), broken,
		},
		"B12 what was verified before is not known now": {
			newDeployment("prod", withProblem(true, "no key"), func(o *Observation) {
				o.Deployment.Status.Conditions = []metav1.Condition{
					{Type: v1alpha1.ConditionVerified, Status: metav1.ConditionTrue},
				}
			}),
			outcome{
				Ready: "False ConfigInvalid", Resolved: "False ReferenceMissing", Verified: "Unknown ConfigInvalid",
				Wake: each,
			},
		},
		"B13 nothing identifies the operator: verified all the same": {
			newDeployment("prod", withVerification(accepted, 0), func(o *Observation) { o.Verification.User = nil }), fine(each),
		},
		"refused: asked again at the interval": {
			newDeployment("prod", withVerification(refused, time.Minute)),
			outcome{
				Ready: "False Unauthorized", Resolved: "True Resolved", Verified: "False Unauthorized",
				Wake: 4 * time.Minute,
			},
		},
		"unreachable: asked again after a second": {
			newDeployment("prod", withVerification(unreachable, 0)),
			outcome{
				Ready: "False Unreachable", Resolved: "True Resolved", Verified: "Unknown Unreachable",
				Wake: time.Second,
			},
		},
		"unreachable a second ago": {newDeployment("prod", withVerification(unreachable, time.Second)), outcome{Do: Verify}},
		"unreachable for less than five minutes, as a server that is restarted: every 4 s": {
			newDeployment(
				"prod", withVerification(unreachable, 3*time.Second), func(o *Observation) { o.Verification.Failures = 75 },
			),
			outcome{
				Ready: "False Unreachable", Resolved: "True Resolved", Verified: "Unknown Unreachable", Wake: time.Second,
			},
		},
		"unreachable, with an interval that is shorter": {
			newDeployment("prod", withVerification(unreachable, 0), func(o *Observation) {
				o.Verification.Failures, o.Deployment.Spec.Verify.Interval = 75, "2s"
			}),
			outcome{
				Ready: "False Unreachable", Resolved: "True Resolved", Verified: "Unknown Unreachable",
				Wake: 2 * time.Second,
			},
		},
		"unreachable for long: every 30 s": {
			newDeployment(
				"prod", withVerification(unreachable, 10*time.Second), func(o *Observation) { o.Verification.Failures = 76 },
			),
			outcome{
				Ready: "False Unreachable", Resolved: "True Resolved", Verified: "Unknown Unreachable",
				Wake: 20 * time.Second,
			},
		},
		"what answers is no Coder server: probed, too": {
			newDeployment("prod", withVerification(elsewhere, 0), func(o *Observation) { o.Verification.Failures = 3 }),
			outcome{
				Ready: "False UnexpectedAnswer", Resolved: "True Resolved", Verified: "False UnexpectedAnswer",
				Wake: 4 * time.Second,
			},
		},
		"what answers is no Coder server, for long": {
			newDeployment(
				"prod", withVerification(elsewhere, 30*time.Second), func(o *Observation) { o.Verification.Failures = 40 },
			), outcome{Do: Verify},
		},
		"B52 the server asks for an hour": {
			newDeployment(
				"prod",
				withVerification(
					authcheck.Result{
						Outcome: authcheck.Unreachable, Reason: v1alpha1.ReasonRateLimited, RetryAfter: time.Hour,
					},
					0,
				),
			),
			outcome{
				Ready: "False RateLimited", Resolved: "True Resolved", Verified: "Unknown RateLimited", Wake: time.Hour,
			},
		},
		"B51 a list serves minted sessions": {
			newDeployment("prod", withVerification(accepted, time.Minute), withMintingSession(accepted, time.Hour)),
			outcome{Do: List},
		},
		"B51 one list for each verification": {
			newDeployment("prod", withVerification(accepted, time.Minute), withMintingSession(accepted, time.Minute)),
			fine(4 * time.Minute),
		},
		"B51 a verification brings a list with it": {
			newDeployment("prod", withVerification(accepted, time.Minute), withMintingSession(accepted, 2*time.Minute)),
			outcome{Do: List},
		},
		"a list that failed is tried again": {
			newDeployment("prod", withVerification(accepted, time.Minute), withMintingSession(unreachable, time.Second)),
			outcome{Do: List},
		},
		"a list that failed just now is not retried yet": {
			newDeployment("prod", withVerification(accepted, time.Minute), withMintingSession(unreachable, 0)),
			fine(time.Second),
		},
		"B45 an owner's list finds what is left": {
			newDeployment("prod", withVerification(accepted, 0), withoutTokenList), outcome{Do: List},
		},
		"no session mints, and no owner: no list": {
			newDeployment(
				"prod", withVerification(accepted, 0), withoutTokenList, func(o *Observation) { o.Verification.User.Roles = nil },
			),
			fine(each),
		},
		"an anonymous operator cannot list": {
			newDeployment(
				"prod", withVerification(accepted, 0), withMintingSession(accepted, time.Hour),
				func(o *Observation) { o.Verification.User = nil },
			),
			fine(each),
		},
		"a deployment that is refused has nothing to list": {
			newDeployment("prod", withVerification(refused, 0), withMintingSession(accepted, time.Hour)),
			outcome{Ready: "False Unauthorized", Resolved: "True Resolved", Verified: "False Unauthorized", Wake: each},
		},
		"deleted, with no session left": {newDeployment("prod", withDeletion), outcome{Do: RemoveFinalizer}},
		"deleted, with no finalizer":    {newDeployment("prod", withDeletion, noFinalizer), outcome{Keep: true}},
		"deleted while settling, with no session left": {
			newDeployment("prod", withDeletion, func(o *Observation) { o.Settling = true }), outcome{Do: RemoveFinalizer},
		},
		"deleted: it serves its sessions to the last": {
			newDeployment("prod", withDeletion, withVerification(accepted, 0), withMintingSession(accepted, 0)),
			outcome{Ready: "False Terminating", Resolved: "True Resolved", Verified: "True Verified", Wake: each},
		},
		"deleted, with sessions that another manager watches": {
			newDeployment("prod", withDeletion, withVerification(accepted, 0), withSessions(0, []string{"team/y"}, nil),
				func(o *Observation) { o.Sessions.Elsewhere = true }),
			outcome{Ready: "False Terminating", Resolved: "True Resolved", Verified: "True Verified", Wake: 10 * time.Second},
		},
		"deleted, and it is not known whether another manager watches some": {
			newDeployment("prod", withDeletion, withVerification(accepted, 0),
				func(o *Observation) { o.Sessions.Unread = true }),
			outcome{Ready: "False Terminating", Resolved: "True Resolved", Verified: "True Verified", Wake: 10 * time.Second},
		},
		// B135
		"deleted, with a session that it does not allow": {
			newDeployment("prod", withDeletion, withSessions(1, nil, nil)), outcome{Do: RemoveFinalizer},
		},
		"deleted, with such a session that still has a token": {
			newDeployment("prod", withDeletion, withVerification(accepted, 0), withSessions(1, nil, []string{"team/x"})),
			outcome{Ready: "False Terminating", Resolved: "True Resolved", Verified: "True Verified", Wake: 10 * time.Second},
		},
		"deleted, with such a session, for a long time": {
			newDeployment("prod", withDeletion, withSessions(1, nil, []string{"team/x"}), later(time.Minute)),
			outcome{Do: RemoveFinalizer},
		},
		"deleted: an allowed session is waited for without end": {
			newDeployment("prod", withDeletion, withSessions(2, []string{"team/y"}, []string{"team/x"}), later(time.Hour)),
			outcome{Do: Verify},
		},
		"deleted: it is verified for them": {newDeployment("prod", withDeletion, withMintingSession(accepted, 0)),
			outcome{Do: Verify}},
	})
}

func TestMessages(t *testing.T) {
	t.Parallel()
	names := func(n int) option {
		return func(o *Observation) {
			o.Sessions.Counts.Total = int32(n)
			for i := range n {
				o.Sessions.Allowed = append(o.Sessions.Allowed, "builds/s"+string(rune('a'+i)))
			}
		}
	}
	for name, tc := range map[string]struct {
		seen      Observation
		condition string
		want      string
		not       string
	}{
		"B12 every problem is named": {
			newDeployment("prod", withProblem(true, `Secret "a" has no key "k"`), withProblem(false, `Secret "b": no PEM`)),
			v1alpha1.ConditionReady, `Secret "a" has no key "k"; Secret "b": no PEM`, "",
		},
		"who the operator is": {
			newDeployment("prod", withVerification(accepted, 0)), v1alpha1.ConditionVerified, `user "operator"`, "",
		},
		"the sessions that a deletion waits for": {
			newDeployment("prod", withDeletion, withVerification(accepted, 0), names(2)), v1alpha1.ConditionReady,
			"builds/sa, builds/sb: delete", "more",
		},
		"but not a thousand of them": {
			newDeployment("prod", withDeletion, withVerification(accepted, 0), names(7)), v1alpha1.ConditionReady,
			"builds/se and 2 more", "builds/sf",
		},
		"B94 no seconds that change with every pass": {
			newDeployment(
				"prod",
				withVerification(
					authcheck.Result{
						Outcome: authcheck.Unreachable, Reason: v1alpha1.ReasonRateLimited, Message: "wait 1.2s",
					},
					0,
				),
			),
			v1alpha1.ConditionReady, "rate limit", "1.2s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range Decide(tc.seen).Conditions {
				excluded := tc.not != "" && strings.Contains(c.Message, tc.not)
				if c.Type == tc.condition && (!strings.Contains(c.Message, tc.want) || excluded) {
					t.Errorf("message %q, want %q in it and %q not", c.Message, tc.want, tc.not)
				}
			}
		})
	}
}

func TestDecideIsDeterministicAndWakesLater(t *testing.T) {
	t.Parallel()
	outcomes := []authcheck.Result{
		accepted, refused, unreachable, {}, {Outcome: authcheck.ConfigChanging},
		{Outcome: authcheck.Unreachable, Reason: v1alpha1.ReasonRateLimited, RetryAfter: time.Hour},
	}
	ages := []time.Duration{0, time.Millisecond, time.Second, each - 1, each, time.Hour}
	for _, v := range outcomes {
		for _, ago := range ages {
			for _, l := range outcomes {
				for _, listedAgo := range ages {
					o := newDeployment("prod", withVerification(v, ago), withMintingSession(l, listedAgo))
					p := Decide(o)
					if p.Action == Nothing && !p.RequeueAt.After(o.Now) {
						t.Errorf("verified %v %s ago, listed %v %s ago: wakes at %s", v, ago, l, listedAgo, p.RequeueAt)
					}
					for _, c := range p.Conditions {
						if c.Reason == "" {
							t.Errorf("verified %v %s ago: %s has no reason", v, ago, c.Type)
						}
					}
				}
			}
		}
	}
}
