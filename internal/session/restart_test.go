// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

const (
	oldCredential = "hmac-sha256:old"
	newCredential = "hmac-sha256:new"
)

var (
	runner = v1alpha1.RestartTarget{Kind: v1alpha1.RestartDeployment, Name: "runner"}
	agent  = v1alpha1.RestartTarget{Kind: v1alpha1.RestartDaemonSet, Name: "agent"}
)

// restarting lists targets of a session whose Secret holds newCredential.
func withRestartTargets(targets ...v1alpha1.RestartTarget) option {
	return func(o *Observation) {
		o.Session.Spec.Restart = targets
		o.Secret.Credential = newCredential
	}
}

// ran records in status which credential a target was started with.
func withRecordedRestart(target v1alpha1.RestartTarget, credential string) option {
	return func(o *Observation) {
		o.Session.Status.Restarts = append(o.Session.Status.Restarts,
			v1alpha1.RestartStatus{Kind: target.Kind, Name: target.Name, Credential: credential})
	}
}

func withWorkloads(workloads ...Workload) option {
	return func(o *Observation) { o.Workloads = workloads }
}

func TestRestart(t *testing.T) {
	t.Parallel()
	with := func(options ...option) Observation {
		return newSession(
			"ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, time.Hour), withRestartTargets(runner)},
				options...)...,
		)
	}
	type want struct {
		Roll      []v1alpha1.RestartTarget
		Revoke    []string
		Condition string
		Runs      map[v1alpha1.ObjectName]string
		Wake      time.Duration
	}
	before, now := map[v1alpha1.ObjectName]string{
		"runner": oldCredential,
	}, map[v1alpha1.ObjectName]string{"runner": newCredential}
	for name, tc := range map[string]struct {
		seen Observation
		want want
	}{
		"a target that is seen for the first time is not rolled": {
			with(withWorkloads(Workload{Target: runner, Done: true, Room: true})), want{
				Condition: "True Restarted", Runs: now, Wake: 15 * time.Hour,
			},
		},
		"B43 a target that runs with another credential is rolled": {
			with(withRecordedRestart(runner, oldCredential), withWorkloads(Workload{Target: runner, Done: true, Room: true})),
			want{Roll: []v1alpha1.RestartTarget{runner}},
		},
		"one that was rolled for another credential, though status forgot it": {
			with(withWorkloads(Workload{Target: runner, Credential: oldCredential, Done: true, Room: true})),
			want{Roll: []v1alpha1.RestartTarget{runner}},
		},
		"not while the rollout budget is used up": {
			with(withRecordedRestart(runner, oldCredential), withWorkloads(Workload{Target: runner, Done: true})),
			want{Condition: "False Rolling", Runs: before, Wake: rolloutPoll},
		},
		"B43 nothing is revoked while it waits for its turn": {
			with(withRecordedRestart(runner, oldCredential), withPendingRevocation("t3", -time.Minute),
				withWorkloads(Workload{Target: runner, Done: true})),
			want{Condition: "False Rolling", Runs: before, Wake: rolloutPoll},
		},
		"B43 nothing is revoked while it rolls": {
			with(
				withRecordedRestart(runner, oldCredential), withPendingRevocation("t3", -time.Minute),
				withWorkloads(Workload{Target: runner, Credential: newCredential}),
			),
			want{Condition: "False Rolling", Runs: before, Wake: rolloutPoll},
		},
		"B43 once it has rolled, what is due is revoked": {
			with(
				withRecordedRestart(runner, oldCredential), withPendingRevocation("t3", -time.Minute),
				withWorkloads(Workload{Target: runner, Credential: newCredential, Done: true}),
			),
			want{Revoke: []string{"t3"}},
		},
		"B43 not before the overlap either": {
			with(
				withRecordedRestart(runner, oldCredential), withPendingRevocation("t3", time.Minute),
				withWorkloads(Workload{Target: runner, Credential: newCredential, Done: true}),
			),
			want{Condition: "True Restarted", Runs: now, Wake: time.Minute},
		},
		"a stuck rollout is reported, and keeps the old token": {
			with(
				withRecordedRestart(runner, oldCredential), withPendingRevocation("t3", -time.Minute),
				withWorkloads(Workload{Target: runner, Credential: newCredential, Stuck: "it is paused"}),
			),
			want{Condition: "False RolloutStuck", Runs: before, Wake: interval},
		},
		"B43 a stuck rollout keeps all that were replaced": {
			with(
				withRecordedRestart(runner, oldCredential), withPendingRevocation("t3", -time.Minute),
				withPendingRevocation("t2", -time.Hour),
				withWorkloads(Workload{Target: runner, Credential: newCredential, Stuck: "it is paused"}),
			),
			want{Condition: "False RolloutStuck", Runs: before, Wake: interval},
		},
		"B136 but no more than eight": {
			with(
				withRecordedRestart(runner, oldCredential), func(o *Observation) {
					for i := range 9 {
						withPendingRevocation(fmt.Sprint("t-", i), time.Duration(i-10)*time.Minute)(o)
					}
				},
				withWorkloads(Workload{Target: runner, Credential: newCredential, Stuck: "it is paused"}),
			),
			want{Revoke: []string{"t-0"}},
		},
		"one that cannot be read is reported, and keeps the old token": {
			with(
				withRecordedRestart(runner, oldCredential), withPendingRevocation("t3", -time.Minute),
				withWorkloads(Workload{Target: runner, Problem: "the operator may not"}),
			),
			want{Condition: "False RolloutStuck", Runs: before, Wake: interval},
		},
		"one that does not exist will start with what is published": {
			with(withRecordedRestart(runner, oldCredential), withWorkloads(Workload{Target: runner, Missing: true})),
			want{Condition: "True Restarted", Runs: now, Wake: 15 * time.Hour},
		},
		"the same credential: no rollout": {
			with(withRecordedRestart(runner, newCredential)), want{Condition: "True Restarted", Runs: now, Wake: 15 * time.Hour},
		},
		"of two, the one that changed last": {
			with(withRestartTargets(runner, agent), withRecordedRestart(runner, newCredential),
				withRecordedRestart(agent, oldCredential),
				withWorkloads(
					Workload{Target: runner, Done: true, Room: true, Credential: newCredential},
					Workload{Target: agent, Done: true, Room: true},
				)),
			want{Roll: []v1alpha1.RestartTarget{agent}},
		},
		"a suspended session restarts nothing": {
			with(
				withRecordedRestart(runner, oldCredential), withWorkloads(Workload{Target: runner, Done: true, Room: true}),
				func(o *Observation) { o.ServerTokens.UserSuspended = true },
			),
			want{Runs: before, Wake: interval},
		},
		"a Secret that is not in sync restarts nothing": {
			with(
				withRecordedRestart(runner, oldCredential), withSecret(func(s *Secret) { s.InSync, s.Credential = false, "" }),
			), want{Runs: before},
		},
		"a restart that fails is tried again and says why": {
			with(withRecordedRestart(runner, oldCredential), withPendingRevocation("t3", -time.Minute), failedTo(Restart,
				failure.Transient, "")),
			want{Condition: "False RolloutStuck", Runs: before, Wake: interval},
		},
		"a target that left the spec is forgotten": {
			with(withRestartTargets(), withRecordedRestart(runner, oldCredential), withPendingRevocation("t3",
				-time.Minute)), want{Revoke: []string{"t3"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Decide(tc.seen)
			got := want{Roll: p.WorkloadsToRestart}
			for _, d := range p.Revoke {
				got.Revoke = append(got.Revoke, d.ID)
			}
			if p.Action == Nothing || p.Action == Publish {
				got.Runs = map[v1alpha1.ObjectName]string{}
				for _, r := range p.Restarts {
					got.Runs[r.Name] = r.Credential
				}
				if c := p.findCondition(v1alpha1.ConditionTargetsRestarted); c != nil {
					got.Condition = string(c.Status) + " " + c.Reason
				}
				if !p.RequeueAt.IsZero() {
					got.Wake = p.RequeueAt.Sub(noon)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("unexpected plan (-want +got):\n%s", diff)
			}
		})
	}
}

// Withdrawn access and deletion do not wait for a rollout.
func TestRevocationDoesNotWaitForARollout(t *testing.T) {
	t.Parallel()
	with := func(options ...option) Observation {
		return newSession("ci", append([]option{
			withMint("bot"), withPublishedToken("t4", 4, time.Hour), withRestartTargets(runner), withRecordedRestart(
				runner, oldCredential,
			), withPendingRevocation("t3", 0),
			withSecret(func(s *Secret) { *s = Secret{} }),
		}, options...)...)
	}
	gone := outcome{Do: Revoke, Revoke: []string{"t3", "t4"}}
	checkRows(t, map[string]row{
		"B32 access withdrawn": {with(withDeployment(func(d *Deployment) { d.Denied = "no" })), gone},
		"deleted":              {with(withDeletion(0), func(o *Observation) { o.LostTokenSearched = true }), gone},
	})
}
