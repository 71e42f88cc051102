// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// changes are the random events caused by users, servers and networks. An event that is listed
// more than once is more frequent.
var changes = []func(*simWorld){
	(*simWorld).rotateSettings, (*simWorld).rotateSettings, (*simWorld).rotateSettings, (*simWorld).flipSettings,
	(*simWorld).spoilSetting, (*simWorld).spoilSetting, (*simWorld).repairSetting, (*simWorld).repairSettings,
	(*simWorld).switchServer, (*simWorld).toggleOutage, (*simWorld).toggleOutage,
	(*simWorld).toggleUser, (*simWorld).toggleUser,
	(*simWorld).breakToken, (*simWorld).breakToken, (*simWorld).jump, (*simWorld).skew,
	(*simWorld).makeNoise, (*simWorld).makeNoise, (*simWorld).silence, (*simWorld).crash,
	(*simWorld).editSession, (*simWorld).editSession, (*simWorld).editSecret, (*simWorld).editSecret,
	(*simWorld).deleteSecret, (*simWorld).deleteSession, (*simWorld).createSession,
	(*simWorld).toggleAccess, (*simWorld).breakOperator,
	(*simWorld).stall, (*simWorld).leaveOrphans, (*simWorld).deleteDeployment,
}

// nudges are the events that may happen while the operator waits for a response.
var nudges = []func(*simWorld){
	(*simWorld).spoilSetting, (*simWorld).repairSetting, (*simWorld).repairSettings,
	(*simWorld).toggleUser, (*simWorld).breakToken,
	(*simWorld).editSession, (*simWorld).editSecret, (*simWorld).deleteSecret,
	(*simWorld).deleteSession, (*simWorld).createSession,
	(*simWorld).switchServer, (*simWorld).toggleAccess,
}

func pick[T any](w *simWorld, from []T) T { return from[w.rng.IntN(len(from))] }

func (w *simWorld) nudge() {
	by := w.byOperator
	w.byOperator = false
	w.nudged()(w)
	w.byOperator = by
}

// nudged returns an event that may happen while the operator waits for a response.
func (w *simWorld) nudged() func(*simWorld) {
	all := nudges
	if w.retains {
		all = slices.Concat(all, wishes)
	}
	if w.features.workspaces {
		all = slices.Concat(all, workspaceChanges)
	}
	return pick(w, all)
}

// spoilSetting writes invalid or outdated contents to one settings object, or deletes it.
func (w *simWorld) spoilSetting() {
	name := pick(w, simSettings)
	oldID, oldSecret := simPair(max(0, w.pair-1))
	outdated := map[string]string{"edge-id": oldID, "edge-key": oldSecret}[name]
	value := pick(w, []string{"", "wrong", "0123456789-0123456789012345678901", outdated})
	w.tracef("* %s becomes %q", name, value)
	w.write(name, value)
}

func (w *simWorld) repairSetting() {
	name := pick(w, simSettings)
	w.tracef("* %s is repaired", name)
	w.write(name, w.valid(name))
}

// repairSettings repairs all settings, one after the other, within the quiet period.
func (w *simWorld) repairSettings() {
	var after time.Duration
	for _, name := range simSettings {
		w.at(after, func() {
			w.tracef("* %s is repaired", name)
			w.write(name, w.valid(name))
		})
		after += w.jitter(200 * time.Millisecond)
	}
}

// whole reports whether everything is valid and idle, so that a burst can be checked strictly.
func (w *simWorld) whole() bool {
	if w.retaining() {
		return false // sessions may be retired or return at any time
	}
	now := w.clock.Now()
	for _, c := range w.coders {
		if slices.ContainsFunc(c.server.Users(), func(u coderd.User) bool { return u.Status != coderd.StatusActive }) {
			return false
		}
		if c.down || !c.pairs[w.pair] || !w.renews && !c.server.AcceptsToken(c.token) || !c.server.AcceptsToken(c.supply) {
			return false
		}
	}
	for _, name := range w.names {
		d := w.deployment(name)
		if d == nil || !d.DeletionTimestamp.IsZero() {
			return false
		}
		if w.operator.parts.Deployments.Settling(client.ObjectKeyFromObject(d)) {
			return false
		}
		ready := 0
		for _, s := range w.sessions() {
			if string(s.Spec.DeploymentRef.Name) == name {
				ready++
			}
		}
		if d.Status.Sessions == nil || int(d.Status.Sessions.Ready) != ready {
			return false // the count is updated later
		}
		asked := w.verified[name]
		conn := w.operator.parts.Pool.Get(client.ObjectKeyFromObject(d))
		if len(asked) == 0 || now.Sub(asked[len(asked)-1]) > 4*time.Minute || conn.ReverificationRequested() {
			return false
		}
		if !conn.VerificationStatus().Result.OK() {
			return false
		}
	}
	for _, s := range w.sessions() {
		if s.Spec.PerPod != nil && reasonOfSession(s) == v1alpha1.ReasonServingPods {
			continue
		}
		if reasonOfSession(s) != v1alpha1.ReasonActive || s.DeletionTimestamp != nil || len(s.Status.PendingRevocations) > 0 {
			return false
		}
		if next := s.Status.NextRefreshTime; next != nil && next.Sub(now) < 10*time.Minute {
			return false
		}
		if meta.IsStatusConditionFalse(s.Status.Conditions, v1alpha1.ConditionTargetsRestarted) {
			return false
		}
		if _, stopped := w.runsNot(s); stopped {
			return false // it has stopped or is gone, and the session is about to notice
		}
		secret := w.secretOf(s)
		if secret == nil || s.Status.Secret == nil || s.Status.Secret.ResourceVersion != secret.ResourceVersion {
			return false
		}
		server := w.serves(w.deployment(string(s.Spec.DeploymentRef.Name)))
		if s.Spec.Auth.Mint != nil && server.live()[idOf(string(secret.Data["session"]))].ID == "" {
			return false
		}
		if s.Spec.Auth.OAuth != nil && !server.server.AcceptsToken(string(secret.Data["session"])) {
			return false // the grant was revoked, and the session is about to notice
		}
	}
	for _, name := range simSettings {
		if w.content(name) != w.valid(name) {
			return false
		}
	}
	return w.ownRests() && !w.isRefusing() && w.noise == simNoise{} && len(w.script) == 0 &&
		!w.operator.dead && !w.operator.cache.lags() && now.After(w.stalled) &&
		len(w.operator.deployments.runnable()) == 0 && len(w.operator.sessions.runnable()) == 0 &&
		len(w.operator.pods.runnable()) == 0
}

// rotateSettings replaces the header pair, the operator's token and the supplied token with
// many writes in random order, some of them invalid, without a pause as long as the quiet
// period. The servers accept the old settings meanwhile. The burst must cause exactly one
// verification (B04), and no condition may report an intermediate state (B08).
func (w *simWorld) rotateSettings() {
	if w.depth > 0 || !w.whole() {
		w.repairSettings()
		return
	}
	w.pair++
	for _, c := range w.coders {
		c.pairs[w.pair] = true
		c.issueOwn()
		c.supply = c.issue("ada", fmt.Sprintf("laptop-%d", w.own))
	}
	w.burst(1, w.valid)
	for _, c := range w.coders {
		c.pairs = map[int]bool{w.pair: true}
	}
}

// flipSettings changes settings and changes them back within the quiet period. The operator
// must neither verify nor write anything (B07).
func (w *simWorld) flipSettings() {
	if w.depth > 0 || !w.whole() {
		return
	}
	writes := len(w.writes)
	w.burst(0, w.valid)
	for _, c := range w.writes[writes:] {
		if c.ref.kind != kindDeployment || !heartbeatOnly(c) {
			w.fail("B07: settings changed and came back, and %s %s was written: %s",
				c.ref.kind, c.ref.key, cmp.Diff(plain(c.before), plain(c.after)))
		}
	}
}

// judgedBursts runs bursts, and waits before each one until everything is idle.
func (w *simWorld) judgedBursts(n int) {
	for range n {
		w.rests()
		pick(w, []func(*simWorld){(*simWorld).rotateSettings, (*simWorld).flipSettings})(w)
	}
}

// rests waits until everything is valid and idle, and reports whether it is.
func (w *simWorld) rests() bool {
	for tries := 0; !w.whole() && tries < 60; tries++ {
		w.run(10 * time.Second)
	}
	return w.whole()
}

// burst makes the writes and checks the number of verifications that they cause.
func (w *simWorld) burst(cost int, final func(string) string) {
	w.calm = true
	w.count.bursts++
	before := map[string]int{"prod": len(w.verified["prod"]), "gate": len(w.verified["gate"])}
	names, pause := w.burstOrder()
	for i, name := range names {
		w.run(w.jitter(pause))
		value := final(name)
		if slices.Contains(names[i+1:], name) && w.rng.IntN(2) == 0 {
			value = pick(w, []string{"wrong", "", "0123456789-0123456789012345678901"})
		}
		if value == "" && w.content(name) == "" {
			value = "wrong" // deleting an object that does not exist causes no event
		}
		w.tracef("* burst: %s becomes %q", name, value)
		w.write(name, value)
	}
	w.run(5 * time.Second)
	w.calm = false
	for name, asked := range before {
		if got := len(w.verified[name]) - asked; got != cost && len(w.problems) == 0 {
			w.fail("B04: a burst of %d writes cost %s %d verifications, want %d", len(names), name, got, cost)
		}
	}
}

// burstOrder returns the names of the objects to write, and the longest pause between two
// writes. No object that refers to some of them may see a pause longer than the quiet period
// minus the lag of caches. Either the whole burst fits into that time, or all writes but the
// first ones are of objects that every deployment refers to.
func (w *simWorld) burstOrder() (names []string, pause time.Duration) {
	shuffle := func(names []string) {
		w.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	if w.rng.IntN(2) == 0 {
		names = slices.Clone(simSettings)
		for range w.rng.IntN(6) {
			names = append(names, pick(w, simSettings))
		}
		shuffle(names)
		return names, (simQuiet - simLag) / time.Duration(len(names)+1)
	}
	names = []string{"edge-id", "edge-key"}
	for range w.rng.IntN(8) {
		names = append(names, pick(w, names))
	}
	shuffle(names)
	w.write("own", w.valid("own"))
	w.write("mine-token", w.valid("mine-token"))
	return names, simQuiet - simLag - 20*time.Millisecond
}

func (w *simWorld) switchServer() {
	name := pick(w, []string{"prod", "gate"})
	d := w.deployment(name)
	if d == nil {
		return
	}
	to := w.coders[w.rng.IntN(2)].http.URL
	w.tracef("* deployment %s goes to %s", name, to)
	w.abandonClients()
	_ = edit(w, refOf(d), func(d *v1alpha1.CoderDeployment) { d.Spec.URL = to })
	if w.rng.IntN(3) > 0 {
		w.at(w.jitter(400*time.Millisecond), func() {
			w.write("own", w.valid("own"))
			w.write("mine-token", w.valid("mine-token"))
		})
	}
}

func (w *simWorld) toggleOutage() {
	c := pick(w, w.coders)
	c.down = !c.down
	w.cutStreams(c)
	w.tracef("* server %s down: %t", c.http.URL, c.down)
}

func (w *simWorld) toggleUser() {
	c := pick(w, w.coders)
	name := pick(w, append(simBots, "ada", simOperatorID))
	user, err := c.server.User(name)
	w.must(user, err)
	w.tracef("* user %s toggled", name)
	if user.Status == coderd.StatusSuspended {
		w.activate(c, name)
		return
	}
	w.suspend(c, name)
}

// breakToken revokes a token on the server.
func (w *simWorld) breakToken() {
	c := pick(w, w.coders)
	if keys := c.server.Keys(coderd.KeyFilter{NamePrefix: "cso-"}); len(keys) > 0 {
		id := pick(w, keys).ID
		w.tracef("* token %s is revoked on the server", id)
		w.must(nil, c.server.RevokeKey(id))
		if token := w.tokens[id]; token != nil {
			token.broken = true
		}
	}
}

// breakOperator replaces the operator's token on a server; the old one is revoked at once.
func (w *simWorld) breakOperator() {
	c := pick(w, w.coders)
	w.tracef("* the operator's token is replaced on the server")
	_ = c.server.RevokeKey(idOf(c.token)) // it may not exist any more
	c.issueOwn()
}

func (w *simWorld) jump() {
	d := pick(w, []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 5 * time.Hour})
	d += w.jitter(d)
	w.tracef("* %s go by at once", d)
	w.moveTo(w.clock.Now().Add(d))
	w.disturb()
}

func (w *simWorld) skew() {
	d := time.Duration(w.rng.IntN(9)-4) * time.Minute
	w.tracef("* the server's clock is %s ahead", d)
	pick(w, w.coders).setSkew(d)
}

func (w *simWorld) makeNoise() {
	w.tracef("* noise")
	switch w.rng.IntN(6) {
	case 0:
		w.noise.drop = 150
	case 1:
		w.noise.lose = 150
	case 2:
		w.noise.limited = 100
	case 3:
		w.noise.broken = 150
	case 4:
		w.noise.api = 60
	case 5:
		w.noise.crash = 100
	}
}

func (w *simWorld) silence() {
	w.tracef("* silence")
	w.noise = simNoise{}
}

func (w *simWorld) crash() {
	if w.depth == 0 {
		w.restart()
	}
}

func (w *simWorld) stall() {
	d := w.jitter(30 * time.Second)
	w.tracef("* caches stall for %s", d)
	w.stalled = w.clock.Now().Add(d)
	w.disturbed = w.stalled
}
