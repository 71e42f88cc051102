// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
)

// upon lets something happen once, when something begins: "verification of prod", "update Secret coder/own".
func (w *simWorld) upon(what string, do func()) { w.cues[what] = do }

// begins tells that something begins.
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

// writeOwn writes another valid token of the operator's.
func (w *simWorld) writeOwn() {
	w.serves(w.deployment("prod")).issueOwn()
	w.tracef("* own becomes token %s", idOf(w.valid("own")))
	w.write("own", w.valid("own"))
}

// writePair replaces the header pair by one that is valid as well.
func (w *simWorld) writePair() {
	w.pair++
	for _, c := range w.coders {
		c.pairs[w.pair] = true
	}
	w.tracef("* the header pair becomes number %d", w.pair)
	w.write("edge-id", w.valid("edge-id"))
	w.write("edge-key", w.valid("edge-key"))
}

// relentless: of somebody who writes something else each time, without a pause, the server is asked every maxDelay
// nevertheless, and no more often (B05).
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
			w.fail("B05: of a writer that never pauses the server was not asked for %s", gap)
		}
		if gap < deployment.DefaultMaxDelay && i < len(times)-2 {
			w.fail("B04: of a writer that never pauses the server was asked after %s", gap)
		}
	}
	if len(times) < 4 {
		w.fail("B05: of a writer that never pauses the server was asked %d times", len(times)-1)
	}
}

// interrupted: settings that change while the server is asked lead to another verification, of these settings (B06).
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
	conn := w.operator.parts.deployments.pool.Get(key("coder", "prod"))
	if snapshot := conn.ResolvedClient().Snapshot; snapshot.Token.Reveal() != w.content("own") || conn.VerificationStatus().Fingerprint != snapshot.Fingerprint {
		w.fail("B06: what changed during a verification was never verified")
	}
}

// switched: what a server says of a deployment that names another one by then is not applied (B11).
func (w *simWorld) switched() {
	name := pick(w, []string{"prod", "gate"})
	w.upon("verification of "+name, func() {
		w.outdate(name, func() {
			d := w.deployment(name)
			other := w.coders[0]
			if w.serves(d) == other {
				other = w.coders[1]
			}
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

// deleted: what a server says of a deployment that was deleted meanwhile is not applied (B11). It goes with its last
// session, and nothing is left of them.
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

// outdated is a verification that was under way when its deployment changed.
type outdated struct {
	name          string
	since, before time.Time // of the change, and of the verification before
	known         bool      // the change was known before the answer came
}

// outdate changes a deployment while its verification is under way. Another second begins, and what was written may
// become known.
func (w *simWorld) outdate(name string, change func()) {
	w.outdated = outdated{name: name, since: w.clock.Now(), before: w.memory(name).verified.Time, known: w.rng.IntN(2) == 0}
	change()
	w.pass(time.Second + w.jitter(time.Second))
	for _, kind := range kinds {
		for w.outdated.known && len(w.operator.cache.pending[kind]) > 0 {
			w.operator.cache.deliver(w.ctx(), kind)
		}
	}
}

// memory is what the operator remembers of a deployment; nil: nothing.
func (w *simWorld) memory(name string) *deploymentMemory {
	return w.operator.parts.deployments.memory[key("coder", name)]
}

// judgeRemembered: an answer is forgotten that was asked for before a change that is known (B11).
func (w *simWorld) judgeRemembered() {
	if o, memory := w.outdated, w.memory(w.outdated.name); o.known && memory != nil {
		if at := memory.verified.Time; !at.Equal(o.before) && !at.After(o.since) {
			w.fail("B11: deployment %s goes by a verification from before it changed", o.name)
		}
	}
}

// judgeVerified: a status tells of the server that the deployment names, and of no answer that was asked for before the
// deployment changed (B11).
func (w *simWorld) judgeVerified(before, after *v1alpha1.CoderDeployment) {
	if id := after.Status.DeploymentID; id != before.Status.DeploymentID && id != w.serves(after).server.DeploymentID() {
		w.fail("B11: deployment %s tells of a server that it does not name", after.Name)
	}
	was, is := before.Status.LastVerifiedTime, after.Status.LastVerifiedTime
	if o := w.outdated; o.known && after.Name == o.name && !is.Equal(was) && !is.After(o.since) {
		w.fail("B11: deployment %s tells of a verification from before it changed", after.Name)
	}
}
