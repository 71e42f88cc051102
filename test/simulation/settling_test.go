// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
)

// upon runs a function once when the named request begins, for example "verification of prod"
// or "update Secret coder/own".
func (w *simWorld) upon(what string, do func()) { w.cues[what] = do }

// begins runs the function that was registered with upon for this request.
func (w *simWorld) begins(what string) {
	if do := w.cues[what]; do != nil {
		delete(w.cues, what)
		w.tracef("* meanwhile, upon %s", what)
		by := w.byOperator
		w.byOperator = false
		do()
		w.byOperator = by
	}
}

// writeOwn writes another valid token for the operator.
func (w *simWorld) writeOwn() {
	w.serves(w.deployment("prod")).issueOwn()
	w.tracef("* own becomes token %s", idOf(w.valid("own")))
	w.write("own", w.valid("own"))
}

// writePair replaces the header pair by another valid one.
func (w *simWorld) writePair() {
	w.pair++
	for _, c := range w.coders {
		c.pairs[w.pair] = true
	}
	w.tracef("* the header pair becomes number %d", w.pair)
	w.write("edge-id", w.valid("edge-id"))
	w.write("edge-key", w.valid("edge-key"))
}

// relentless checks that settings that change all the time, without a quiet period, are
// verified every maxDelay (B05) and not more often (B04).
func (w *simWorld) relentless() {
	w.calm = true
	defer func() { w.calm = false }()
	times := []time.Time{w.clock.Now()}
	before := len(w.verified["prod"])
	for end := w.clock.Now().Add(12 * time.Second); w.clock.Now().Before(end) && len(w.problems) == 0; {
		w.run(100*time.Millisecond + w.jitter(simQuiet-simLag-120*time.Millisecond))
		w.writeOwn()
	}
	w.run(5 * time.Second)
	if len(w.problems) > 0 {
		return
	}
	times = append(times, w.verified["prod"][before:]...)
	for i, at := range times[1:] {
		gap := at.Sub(times[i])
		if longest := deployment.DefaultMaxDelay + simQuiet + simLag; gap > longest {
			w.fail("B05: with a writer that never pauses there was no verification for %s", gap)
		}
		if gap < deployment.DefaultMaxDelay && i < len(times)-2 {
			w.fail("B04: with a writer that never pauses there was a verification after %s", gap)
		}
	}
	if len(times) < 4 {
		w.fail("B05: with a writer that never pauses there were %d verifications", len(times)-1)
	}
}

// interrupted checks that settings that change during a verification cause another
// verification with the new settings (B06).
func (w *simWorld) interrupted() {
	w.calm = true
	defer func() { w.calm = false }()
	before := len(w.verified["prod"])
	w.upon("verification of prod", func() {
		w.writeOwn()
		w.pass(w.jitter(pick(w, []time.Duration{time.Millisecond, 2 * time.Second})))
	})
	w.writeOwn()
	w.run(5 * time.Second)
	if got := len(w.verified["prod"]) - before; got != 2 && len(w.problems) == 0 {
		w.fail("B06: a change during a verification led to %d verifications, want 2", got)
	}
	conn := w.operator.parts.Pool.Get(key("coder", "prod"))
	snapshot := conn.ResolvedClient().Snapshot
	if snapshot.Token.Reveal() != w.content("own") || conn.VerificationStatus().Fingerprint != snapshot.Fingerprint {
		w.fail("B06: what changed during a verification was never verified")
	}
}

// switched checks that the result of a verification is discarded if the deployment's URL has
// changed during it (B11).
func (w *simWorld) switched() {
	name := pick(w, []string{"prod", "gate"})
	w.upon("verification of "+name, func() {
		w.outdate(name, func() {
			d := w.deployment(name)
			other := w.coders[0]
			if w.serves(d) == other {
				other = w.coders[1]
			}
			w.abandonClients()
			_ = edit(w, refOf(d), func(d *v1alpha1.CoderDeployment) { d.Spec.URL = other.http.URL })
			w.write("own", w.valid("own"))
			w.write("mine-token", w.valid("mine-token"))
		})
	})
	w.writePair()
	w.run(20 * time.Minute)
	w.outdated = outdated{}
	if len(w.problems) == 0 {
		w.settled()
	}
}

// deleted checks that the result of a verification is discarded if the deployment is deleted
// during it (B11), and that the deployment is removed with its last session and all tokens.
func (w *simWorld) deleted() {
	d := w.deployment("gate")
	server := w.serves(d)
	var prefixes []string
	w.upon("verification of gate", func() {
		w.outdate("gate", func() { _ = w.api.remove(refOf(d), nil) })
	})
	w.writePair()
	w.run(time.Minute)
	w.names = []string{"prod"}
	if w.deployment("gate") == nil {
		w.fail("deployment gate is gone before its sessions")
	}
	if len(w.problems) > 0 {
		return
	}
	for _, s := range w.sessions() {
		if s.Spec.DeploymentRef.Name == "gate" {
			prefixes = append(prefixes, inventory.Names{Cluster: simCluster}.SessionPrefix(string(s.UID)))
			_ = w.api.remove(refOf(s), nil)
		}
	}
	w.run(20 * time.Minute)
	if len(w.problems) > 0 {
		return
	}
	for _, s := range w.sessions() {
		if s.Spec.DeploymentRef.Name == "gate" {
			w.fail("session %s of a deleted deployment does not go: %s", client.ObjectKeyFromObject(s), encoded(s.Status))
		}
	}
	if d := w.deployment("gate"); d != nil {
		w.fail("deployment gate does not go: %s", encoded(d.Status))
	}
	for id, token := range server.live() {
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(token.Name, prefix) }) {
			w.fail("B40: token %s (%s) outlives its session and its deployment", id, token.Name)
		}
	}
	w.settled()
}

// outdated describes a verification that was running when its deployment changed.
type outdated struct {
	name          string
	since, before time.Time // of the change, and of the previous verification
	known         bool      // the cache showed the change before the response arrived
}

// outdate changes a deployment during its verification. It advances the time by at least a
// second, and may deliver the change to the caches.
func (w *simWorld) outdate(name string, change func()) {
	w.outdated = outdated{
		name: name, since: operatorClock{w.clock, w}.Now(), before: w.lastVerification(name), known: w.rng.IntN(2) == 0,
	}
	change()
	w.pass(time.Second + w.jitter(time.Second))
	for _, kind := range kinds {
		for w.outdated.known && len(w.operator.cache.pending[kind]) > 0 {
			w.operator.cache.deliver(w.ctx(), kind)
		}
	}
}

// lastVerification is when the operator last verified a deployment; zero: not yet.
func (w *simWorld) lastVerification(name string) time.Time {
	return w.operator.parts.Deployments.LastVerification(key("coder", name))
}

// judgeRemembered checks that the result of a verification that began before a known change is not
// remembered (B11).
func (w *simWorld) judgeRemembered() {
	o := w.outdated
	at := w.lastVerification(o.name)
	if o.known && !at.IsZero() && !at.Equal(o.before) && !at.After(o.since) {
		w.fail("B11: deployment %s goes by a verification from before it changed", o.name)
	}
}

// judgeVerified checks that the status describes the server at the deployment's URL, and
// contains no result of a verification that began before the deployment changed (B11).
func (w *simWorld) judgeVerified(before, after *v1alpha1.CoderDeployment) {
	if id := after.Status.DeploymentID; id != before.Status.DeploymentID && id != w.serves(after).server.DeploymentID() {
		w.fail("B11: deployment %s tells of a server that it does not name", after.Name)
	}
	was, is := before.Status.LastVerifiedTime, after.Status.LastVerifiedTime
	if o := w.outdated; o.known && after.Name == o.name && !is.Equal(was) && !is.After(o.since) {
		w.fail("B11: deployment %s tells of a verification from before it changed", after.Name)
	}
}
