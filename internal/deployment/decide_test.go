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
	check(t, map[string]row{
		"the finalizer first": {deployment("prod", noFinalizer), outcome{Do: AddFinalizer}},
		"never verified":      {deployment("prod"), outcome{Do: Verify}},
		"verified: nothing until the interval": {
			deployment("prod", verified(accepted, time.Minute)), fine(4 * time.Minute),
		},
		"the interval is over": {deployment("prod", verified(accepted, each)), outcome{Do: Verify}},
		"the interval is the spec's": {
			deployment("prod", every("1h"), verified(accepted, each)), fine(55 * time.Minute),
		},
		"an interval that no server bears": {
			deployment("prod", every("1ms"), verified(accepted, 0)), fine(time.Second),
		},
		"B07 the same settings: nothing is asked": {deployment("prod", verified(accepted, 0)), fine(each)},
		"B04 other settings: verified": {
			deployment(
				"prod", verified(accepted, 0), func(o *Observation) { o.Config.Fingerprint = "hmac-sha256:next" },
			),
			outcome{Do: Verify},
		},
		"B08 settling: nothing is reported or asked": {
			deployment("prod", verified(refused, each), func(o *Observation) { o.Settling = true }),
			outcome{Keep: true},
		},
		"B46 a session met a refusal of the operator's token": {
			deployment(
				"prod", verified(accepted, 0), func(o *Observation) { o.ReverificationRequested = true },
			), outcome{Do: Verify},
		},
		"B11 an answer that is not believed is none": {
			deployment("prod", verified(authcheck.Result{Outcome: authcheck.ConfigChanging}, 0)), outcome{Do: Verify},
		},
		"B12 a key is missing: nothing is sent": {deployment("prod", problem(true, "no key")), broken},
		"B12 a value is malformed": {
			deployment("prod", problem(false, "no PEM")), outcome{
				Ready: "False ConfigInvalid", Resolved: "False ReferenceInvalid", Wake: each,
			},
		},
		"B12 missing weighs more than malformed": {
			deployment("prod", problem(true, "no key"), problem(false, "no PEM")), broken,
		},
		"B12 what was verified before is not known now": {
			deployment("prod", problem(true, "no key"), func(o *Observation) {
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
			deployment("prod", verified(accepted, 0), func(o *Observation) { o.Verification.User = nil }), fine(each),
		},
		"refused: asked again at the interval": {
			deployment("prod", verified(refused, time.Minute)),
			outcome{
				Ready: "False Unauthorized", Resolved: "True Resolved", Verified: "False Unauthorized",
				Wake: 4 * time.Minute,
			},
		},
		"unreachable: asked again after a second": {
			deployment("prod", verified(unreachable, 0)),
			outcome{
				Ready: "False Unreachable", Resolved: "True Resolved", Verified: "Unknown Unreachable",
				Wake: time.Second,
			},
		},
		"unreachable a second ago": {deployment("prod", verified(unreachable, time.Second)), outcome{Do: Verify}},
		"unreachable for long: at the interval": {
			deployment(
				"prod", verified(unreachable, time.Minute), func(o *Observation) { o.Verification.Failures = 40 },
			),
			outcome{
				Ready: "False Unreachable", Resolved: "True Resolved", Verified: "Unknown Unreachable",
				Wake: 4 * time.Minute,
			},
		},
		"B52 the server asks for an hour": {
			deployment(
				"prod",
				verified(
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
			deployment("prod", verified(accepted, time.Minute), minting(accepted, time.Hour)), outcome{Do: List},
		},
		"B51 one list for each verification": {
			deployment("prod", verified(accepted, time.Minute), minting(accepted, time.Minute)), fine(4 * time.Minute),
		},
		"B51 a verification brings a list with it": {
			deployment("prod", verified(accepted, time.Minute), minting(accepted, 2*time.Minute)), outcome{Do: List},
		},
		"a list that failed is tried again": {
			deployment("prod", verified(accepted, time.Minute), minting(unreachable, time.Second)), outcome{Do: List},
		},
		"a list that failed just now is not retried yet": {
			deployment("prod", verified(accepted, time.Minute), minting(unreachable, 0)), fine(time.Second),
		},
		"B45 an owner's list finds what is left": {
			deployment("prod", verified(accepted, 0), unlisted), outcome{Do: List},
		},
		"no session mints, and no owner: no list": {
			deployment(
				"prod", verified(accepted, 0), unlisted, func(o *Observation) { o.Verification.User.Roles = nil },
			),
			fine(each),
		},
		"an anonymous operator cannot list": {
			deployment(
				"prod", verified(accepted, 0), minting(accepted, time.Hour),
				func(o *Observation) { o.Verification.User = nil },
			),
			fine(each),
		},
		"a deployment that is refused has nothing to list": {
			deployment("prod", verified(refused, 0), minting(accepted, time.Hour)),
			outcome{Ready: "False Unauthorized", Resolved: "True Resolved", Verified: "False Unauthorized", Wake: each},
		},
		"deleted, with no session left": {deployment("prod", deleted), outcome{Do: RemoveFinalizer}},
		"deleted, with no finalizer":    {deployment("prod", deleted, noFinalizer), outcome{Keep: true}},
		"deleted while settling, with no session left": {
			deployment("prod", deleted, func(o *Observation) { o.Settling = true }), outcome{Do: RemoveFinalizer},
		},
		"deleted: it serves its sessions to the last": {
			deployment("prod", deleted, verified(accepted, 0), minting(accepted, 0)),
			outcome{Ready: "False Terminating", Resolved: "True Resolved", Verified: "True Verified", Wake: each},
		},
		"deleted: it is verified for them": {deployment("prod", deleted, minting(accepted, 0)), outcome{Do: Verify}},
	})
}

func TestMessages(t *testing.T) {
	t.Parallel()
	names := func(n int) option {
		return func(o *Observation) {
			o.Sessions.Counts.Total = int32(n)
			for i := range n {
				o.Sessions.Names = append(o.Sessions.Names, "builds/s"+string(rune('a'+i)))
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
			deployment("prod", problem(true, `Secret "a" has no key "k"`), problem(false, `Secret "b": no PEM`)),
			v1alpha1.ConditionReady, `Secret "a" has no key "k"; Secret "b": no PEM`, "",
		},
		"who the operator is": {
			deployment("prod", verified(accepted, 0)), v1alpha1.ConditionVerified, `user "operator"`, "",
		},
		"the sessions that a deletion waits for": {
			deployment("prod", deleted, verified(accepted, 0), names(2)), v1alpha1.ConditionReady,
			"builds/sa, builds/sb: delete", "more",
		},
		"but not a thousand of them": {
			deployment("prod", deleted, verified(accepted, 0), names(7)), v1alpha1.ConditionReady,
			"builds/se and 2 more", "builds/sf",
		},
		"B94 no seconds that change with every pass": {
			deployment(
				"prod",
				verified(
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
					o := deployment("prod", verified(v, ago), minting(l, listedAgo))
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
