// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// withPerPod makes the session serve pods, of which the operator has counted these.
func withPerPod(counts v1alpha1.PodCounts) option {
	return func(o *Observation) {
		o.Session.Spec.PerPod = &v1alpha1.PerPod{MaxPods: 2}
		o.Pods = Pods{Enabled: true, Counts: counts}
	}
}

// refusesPods makes the API server take no sessions of pods.
func refusesPods(o *Observation) { o.Pods.Refusal = "exceeded quota" }

// servesNoPods makes the operator one that serves no pods.
func servesNoPods(o *Observation) { o.Pods = Pods{} }

// B150, B153: a session with perPod has no credential of its own, and is Ready if pods can be served.
func TestSessionsWithPerPod(t *testing.T) {
	t.Parallel()
	parent := func(options ...option) Observation {
		base := []option{withMint("bot"), withRecordedUser("id-bot", "bot"), withPerPod(v1alpha1.PodCounts{})}
		return newSession("ci", append(base, options...)...)
	}
	unknownUser := func(o *Observation) { o.Session.Status.User = nil }
	serving := outcome{
		RevokeAll: true, Ready: "True ServingPods", Authenticated: "absent", Synced: "absent", Cut: "absent", Wake: interval,
	}
	invalid := outcome{Ready: "False ConfigInvalid", Wake: interval}
	shared := withPublishedToken("t4", 4, time.Hour)
	secretGone := withSecret(func(s *Secret) { *s = Secret{} })
	checkRows(t, map[string]row{
		"the user is known":           {parent(), serving},
		"the user is looked up first": {parent(unknownUser), outcome{Do: LookUpUser}},
		"the user was looked up":      {parent(unknownUser, lookedUp("id-bot", "bot")), serving},
		"no Secret is tried": {
			parent(unknownUser, lookedUp("id-bot", "bot"), withSecret(func(s *Secret) { s.Unproven = true })),
			serving,
		},
		"there is no such user": {
			parent(unknownUser, func(o *Observation) { o.TargetUser = TargetUser{Known: true, Missing: true} }),
			invalid,
		},
		"another user than the one named": {parent(unknownUser, lookedUp("id-x", "x")), invalid},
		"the operator serves no pods":     {parent(servesNoPods), invalid},
		"a Secret of its name is no conflict": {
			parent(withSecret(func(s *Secret) { *s = Secret{Foreign: true} })), serving,
		},
		"it shared a token: the Secret goes first": {parent(shared), outcome{Do: DeleteSecret}},
		"then the token": {parent(shared, secretGone), outcome{Do: Revoke, Revoke: []string{"t4"}}},
		"the shared Secret cannot be deleted": {
			parent(shared, failedTo(DeleteSecret, failure.Refused, v1alpha1.ReasonAPIServerRefused)),
			outcome{
				RevokeAll: true, Ready: "False Verifying", Authenticated: "absent", Synced: "absent", Cut: "absent", Wake: interval,
				Pending: map[string]time.Duration{"t4": 0},
			},
		},
		"the user is suspended": {
			parent(func(o *Observation) { o.ServerTokens.UserSuspended = true }),
			outcome{
				RevokeAll: true, Ready: "False Suspended", Authenticated: "False UserSuspended",
				Synced: "absent", Suspended: "UserSuspended", Wake: interval,
			},
		},
		"the operator has no token": {
			parent(withDeployment(func(d *Deployment) { d.User = nil })),
			outcome{RevokeAll: true, Ready: "False ConfigInvalid", Authenticated: "absent", Synced: "absent", Wake: interval},
		},
		"the deployment is not reachable": {
			parent(withOutage()),
			outcome{
				RevokeAll: true, Ready: "False AwaitingDeployment",
				Authenticated: "absent", Synced: "absent", Wake: interval,
			},
		},
		"access is withdrawn": {
			parent(withDeployment(func(d *Deployment) { d.Denied = "no" })),
			outcome{RevokeAll: true, Ready: "False AccessDenied", Authenticated: "absent", Synced: "absent", Cut: "absent"},
		},
		"it is paused":                     {parent(withPause), outcome{Ready: "False Paused"}},
		"a deletion has nothing to revoke": {parent(withDeletion(0)), outcome{Do: RemoveFinalizer}},
		"a deletion while a shared token is there": {
			parent(shared, withDeletion(0)), outcome{Do: DeleteSecret},
		},
		"a deletion, and a shared token is left": {
			parent(shared, secretGone, withDeletion(0)), outcome{Do: Revoke, Revoke: []string{"t4"}},
		},
		"perPod is removed: it mints for all": {
			parent(func(o *Observation) { o.Session.Spec.PerPod = nil }, lookedUp("id-bot", "bot")),
			outcome{Do: Mint, Serial: 1, Lifetime: 24 * time.Hour},
		},
	})
}

// The condition PodsServed and status.pods say whether pods wait, and what for.
func TestPodsServed(t *testing.T) {
	t.Parallel()
	waiting := v1alpha1.PodCounts{Live: 2, Ended: 1, Refused: 3}
	for name, c := range map[string]struct {
		options []option
		// want is the condition, pods the counts.
		want string
		pods *v1alpha1.PodCounts
	}{
		"no perPod": {[]option{}, "absent", nil},
		"none waits": {
			[]option{withPerPod(v1alpha1.PodCounts{Live: 1})},
			"True AllPodsServed",
			&v1alpha1.PodCounts{Live: 1},
		},
		"the limit": {[]option{withPerPod(waiting)}, "False PodLimitReached", &waiting},
		"what the API server refuses": {
			[]option{withPerPod(v1alpha1.PodCounts{Live: 1, Refused: 3}), refusesPods},
			"False APIServerRefused",
			&v1alpha1.PodCounts{Live: 1, Refused: 3},
		},
		"what it would refuse": {[]option{withPerPod(waiting), refusesPods}, "False PodLimitReached", &waiting},
		"what it refused lately": {
			[]option{withPerPod(v1alpha1.PodCounts{Live: 1}), refusesPods}, "True AllPodsServed", &v1alpha1.PodCounts{Live: 1},
		},
		"a pause": {[]option{withPerPod(waiting), withPause}, "False Paused", &waiting},
		"a pause of all": {
			[]option{withPerPod(v1alpha1.PodCounts{}), withPause},
			"True AllPodsServed",
			&v1alpha1.PodCounts{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newSession("ci", append([]option{withMint("bot"), withRecordedUser("id-bot", "bot")}, c.options...)...)
			p := Decide(o)
			if p.Action != Nothing && o.Session.Spec.PerPod != nil {
				t.Fatalf("action %s", p.Action)
			}
			status := v1alpha1.CoderSessionStatus{Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionPodsServed, Status: metav1.ConditionTrue, Reason: "Old"},
			}, Pods: &v1alpha1.PodCounts{Live: 9}}
			p.Apply(&status, 1, noon)
			got := "absent"
			for _, condition := range status.Conditions {
				if condition.Type == v1alpha1.ConditionPodsServed {
					got = string(condition.Status) + " " + condition.Reason
				}
			}
			if got != c.want {
				t.Errorf("PodsServed is %s, want %s", got, c.want)
			}
			if diff := cmp.Diff(c.pods, status.Pods); diff != "" {
				t.Errorf("status.pods (-want +got):\n%s", diff)
			}
		})
	}
}

// B151: no lost token is looked for where this process knows that none can be: it has minted the last one
// itself, and its answer was stored.
func TestALostTokenIsLookedForUnlessThereCanBeNone(t *testing.T) {
	t.Parallel()
	mintedHere := func(serial int64) option { return func(o *Observation) { o.MintedSerial = serial } }
	gone := withSecret(func(s *Secret) { *s = Secret{} })
	with := func(options ...option) Observation {
		base := []option{withMint("bot"), withPublishedToken("t4", 4, time.Hour), withDeletion(0), gone}
		return newSession("ci", append(base, options...)...)
	}
	revoke := outcome{Do: Revoke, Revoke: []string{"t4"}}
	search := outcome{Do: FindLostToken, Serial: 5}
	checkRows(t, map[string]row{
		"minted by this process":                   {with(mintedHere(4)), revoke},
		"after a restart":                          {with(), search},
		"an older one was minted by this process":  {with(mintedHere(3)), search},
		"a newer attempt whose outcome is unknown": {with(mintedHere(0)), search},
		"another process has used the next serial": {
			with(mintedHere(4), withPendingRevocation("t5", 0), func(o *Observation) { o.TakenSerial = 5 }),
			outcome{Do: FindLostToken, Serial: 6},
		},
		"nothing was ever minted, as far as is known": {
			newSession("ci", withMint("bot"), withDeletion(0)),
			outcome{Do: FindLostToken, Serial: 1},
		},
	})
}
