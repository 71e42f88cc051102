// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

func TestDeletion(t *testing.T) {
	t.Parallel()
	with := func(options ...option) Observation {
		base := []option{withMint("bot"), withPublishedToken("t4", 4, time.Hour), withDeletion(time.Minute)}
		return newSession("ci", append(base, options...)...)
	}
	secretGone := withSecret(func(s *Secret) { *s = Secret{} })
	searched := func(o *Observation) { o.LostTokenSearched = true }
	revoked := func(o *Observation) { o.RevokedTokens = []string{"t4"} }
	retain := withSpec(func(s *v1alpha1.CoderSessionSpec) {
		s.Secret = &v1alpha1.GeneratedSecret{DeletionPolicy: v1alpha1.DeletionPolicyRetain}
	})
	waiting := outcome{
		RevokeAll: true, Ready: "False AwaitingDeployment", Wake: 9 * time.Minute,
		Pending: map[string]time.Duration{"t4": 0},
	}
	waitingBackedOff := waiting
	waitingBackedOff.Backoff = true
	checkRows(t, map[string]row{
		"the Secret goes first":                   {with(), outcome{Do: DeleteSecret}},
		"with Retain it is kept without an owner": {with(retain), outcome{Do: RetainSecret}},
		"B40 a token that only the Secret names is noted before": {
			with(statusForgotten, withoutServerTokens),
			outcome{
				RevokeAll: true, Ready: "False Terminating", Wake: time.Second,
				Pending: map[string]time.Duration{"t4": 0},
			},
		},
		"a status that cannot be written does not keep the session for ever": {
			with(statusForgotten, withDeletion(10*time.Minute)), outcome{Do: DeleteSecret},
		},
		"B41 then what a lost answer may have left": {with(secretGone), outcome{Do: FindLostToken, Serial: 5}},
		"then all tokens": {
			with(secretGone, searched, withPendingRevocation("t3", time.Hour), alsoListed("t5", 5)),
			outcome{Do: Revoke, Revoke: []string{"t3", "t4", "t5"}},
		},
		"then the finalizer": {with(secretGone, searched, revoked), outcome{Do: RemoveFinalizer}},
		"a lost token is looked for if none was published": {
			newSession("ci", withMint("bot"), withDeletion(0)), outcome{Do: FindLostToken, Serial: 1},
		},
		"without its deployment, a session that has had no token has lost none": {
			newSession("ci", withMint("bot"), withDeletion(0), withDeployment(func(d *Deployment) { *d = Deployment{} })),
			outcome{Do: RemoveFinalizer},
		},
		"without its deployment, one that has had a token may have": {
			with(secretGone, withDeployment(func(d *Deployment) { *d = Deployment{} })), waitingBackedOff,
		},
		"a session that mints nothing has nothing lost": {
			newSession("ci", withToken(), withDeletion(0)), outcome{Do: RemoveFinalizer},
		},
		"a supplied token is not revoked": {
			newSession("ci", withToken(), publishedSupplied(value), withDeletion(0), secretGone), outcome{Do: RemoveFinalizer},
		},
		"no finalizer: nothing to do with it": {with(noFinalizer), outcome{Keep: true}},
		"a pause does not hold a deletion up": {with(withPause), outcome{Do: DeleteSecret}},
		"denied access does not either": {
			with(withDeployment(func(d *Deployment) { d.Denied = "no" })), outcome{Do: DeleteSecret},
		},
		"nor does a foreign Secret": {
			with(func(o *Observation) { o.Secret = Secret{Foreign: true} }), outcome{Do: FindLostToken, Serial: 5},
		},
		"the Secret could not be retained: the finalizer stays": {
			newSession(
				"ci", withToken(), publishedSupplied(value), withDeletion(0), retain, failedTo(RetainSecret, failure.Transient, ""),
			),
			outcome{RevokeAll: true, Ready: "False AwaitingDeployment", Wake: 10 * time.Minute},
		},
		"the server cannot be asked: wait": {with(secretGone, failedTo(FindLostToken, failure.Transient, "")), waiting},
		"a revocation fails: wait": {
			with(secretGone, searched, failedTo(Revoke, failure.Denied, v1alpha1.ReasonForbidden)), waiting,
		},
		"the deployment is gone: wait": {
			with(secretGone, withDeployment(func(d *Deployment) { *d = Deployment{} })),
			outcome{
				RevokeAll: true, Backoff: true, Ready: "False AwaitingDeployment", Wake: 9 * time.Minute,
				Pending: map[string]time.Duration{"t4": 0},
			},
		},
		"B117 the deployment goes with its namespace: the wait is short": {
			with(secretGone, withDeletion(4*time.Second),
				withDeployment(func(d *Deployment) { *d = Deployment{Terminating: true} })),
			outcome{
				RevokeAll: true, Backoff: true, Ready: "False AwaitingDeployment", Wake: 6 * time.Second,
				Pending: map[string]time.Duration{"t4": 0},
			},
		},
		"B117 then the session goes, and names the tokens that are left": {
			with(secretGone, withDeployment(func(d *Deployment) {
				*d = Deployment{Found: true, Terminating: true, Problem: "Secret coder/token does not exist"}
			})), outcome{Do: RemoveFinalizer, Abandoned: []string{"t4"}},
		},
		"B117 a deployment whose settings are known is called": {
			with(secretGone, withDeployment(func(d *Deployment) { d.Terminating, d.Problem = true, "gone" })),
			outcome{Do: FindLostToken, Serial: 5},
		},
		"B117 one that was not looked at yet is waited for": {
			with(secretGone, withDeployment(func(d *Deployment) { *d = Deployment{Found: true, Terminating: true} })),
			outcome{
				RevokeAll: true, Backoff: true, Ready: "False AwaitingDeployment", Wake: 9 * time.Minute,
				Pending: map[string]time.Duration{"t4": 0},
			},
		},
		"the wait ends with the timeout": {
			with(secretGone, withDeletion(9*time.Minute), failedTo(FindLostToken, failure.Transient, "")),
			outcome{
				RevokeAll: true, Ready: "False AwaitingDeployment", Wake: time.Minute,
				Pending: map[string]time.Duration{"t4": 0},
			},
		},
		"after the timeout the session goes, and names the tokens that are left": {
			with(secretGone, withDeletion(10*time.Minute), failedTo(FindLostToken, failure.Transient, ""),
				withPendingRevocation("t3", time.Hour)),
			outcome{Do: RemoveFinalizer, Abandoned: []string{"t3", "t4"}},
		},
		"a finalizer that the API server keeps: status says so, and it is tried again": {
			with(secretGone, searched, revoked, failedTo(RemoveFinalizer, failure.Refused, v1alpha1.ReasonAPIServerRefused)),
			outcome{RevokeAll: true, Ready: "False Terminating"},
		},
		"what failed before the deletion does not delay it": {
			with(failedTo(Restart, failure.Refused, v1alpha1.ReasonAPIServerRefused)), outcome{Do: DeleteSecret},
		},
		"after the timeout it still tries first": {
			with(secretGone, withDeletion(time.Hour)), outcome{Do: FindLostToken, Serial: 5},
		},
	})
}

func TestWaitingForRevocationKeepsTheLastSerial(t *testing.T) { // B41
	t.Parallel()
	o := newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour), withDeletion(time.Minute),
		withSecret(func(s *Secret) { *s = Secret{} }), failedTo(FindLostToken, failure.Transient, ""))
	Decide(o).Apply(&o.Session.Status, 1, o.Now)
	o.Failures, o.ServerTokens = nil, ServerTokens{}
	if p := Decide(o); p.Action != FindLostToken || p.Mint.Serial != 5 {
		t.Errorf("the next pass does %q with serial %d, want %q for 5", p.Action, p.Mint.Serial, FindLostToken)
	}
}
