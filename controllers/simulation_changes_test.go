package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// changes are what people, servers and networks do, each as often as it is listed.
var changes = []func(*simWorld){
	(*simWorld).rotateSettings, (*simWorld).rotateSettings, (*simWorld).rotateSettings, (*simWorld).flipSettings,
	(*simWorld).spoilSetting, (*simWorld).spoilSetting, (*simWorld).mendSetting, (*simWorld).mendSettings,
	(*simWorld).switchServer, (*simWorld).toggleOutage, (*simWorld).toggleOutage, (*simWorld).toggleUser, (*simWorld).toggleUser,
	(*simWorld).breakToken, (*simWorld).breakToken, (*simWorld).jump, (*simWorld).skew, (*simWorld).makeNoise, (*simWorld).makeNoise,
	(*simWorld).silence, (*simWorld).crash, (*simWorld).editSession, (*simWorld).editSession, (*simWorld).editSecret, (*simWorld).editSecret,
	(*simWorld).deleteSecret, (*simWorld).deleteSession, (*simWorld).createSession, (*simWorld).toggleAccess, (*simWorld).breakOperator,
	(*simWorld).stall, (*simWorld).leaveOrphans, (*simWorld).deleteDeployment,
}

// nudges are what may happen while the operator waits for an answer.
var nudges = []func(*simWorld){
	(*simWorld).spoilSetting, (*simWorld).mendSetting, (*simWorld).mendSettings, (*simWorld).toggleUser, (*simWorld).breakToken,
	(*simWorld).editSession, (*simWorld).editSecret, (*simWorld).deleteSecret, (*simWorld).deleteSession, (*simWorld).createSession,
	(*simWorld).switchServer, (*simWorld).toggleAccess,
}

func pick[T any](w *simWorld, from []T) T { return from[w.rng.IntN(len(from))] }

func (w *simWorld) nudge() {
	by := w.byOperator
	w.byOperator = false
	pick(w, nudges)(w)
	w.byOperator = by
}

// spoilSetting writes one object: something wrong, an old half, nothing.
func (w *simWorld) spoilSetting() {
	name := pick(w, simSettings)
	oldID, oldSecret := simPair(max(0, w.pair-1))
	value := pick(w, []string{"", "wrong", "0123456789-0123456789012345678901", map[string]string{"edge-id": oldID, "edge-key": oldSecret}[name]})
	w.tracef("* %s becomes %q", name, value)
	w.write(name, value)
}

func (w *simWorld) mendSetting() {
	name := pick(w, simSettings)
	w.tracef("* %s is mended", name)
	w.write(name, w.valid(name))
}

// mendSettings mends all, one after the other, within the quiet period.
func (w *simWorld) mendSettings() {
	var after time.Duration
	for _, name := range simSettings {
		w.at(after, func() {
			w.tracef("* %s is mended", name)
			w.write(name, w.valid(name))
		})
		after += w.jitter(200 * time.Millisecond)
	}
}

// whole reports whether all is well and at rest, so that a burst can be judged strictly.
func (w *simWorld) whole() bool {
	now := w.clock.Now()
	for _, c := range w.coders {
		if c.down || !c.pairs[w.pair] || !c.server.AcceptsToken(c.token) || !c.server.AcceptsToken(c.supply) {
			return false
		}
	}
	for _, name := range []string{"prod", "gate"} {
		d := w.deployment(name)
		if d == nil || !d.DeletionTimestamp.IsZero() || w.operator.parts.deployments.debouncer.Settling(client.ObjectKeyFromObject(d)) {
			return false
		}
		asked := w.verified[name]
		if len(asked) == 0 || now.Sub(asked[len(asked)-1]) > 4*time.Minute || w.operator.parts.deployments.pool.Get(client.ObjectKeyFromObject(d)).Doubted() {
			return false
		}
		if standing := w.operator.parts.deployments.pool.Get(client.ObjectKeyFromObject(d)).Standing(); !standing.Verdict.OK() {
			return false
		}
	}
	for _, s := range w.sessions() {
		if reasonOfSession(s) != v1alpha1.ReasonActive || s.DeletionTimestamp != nil {
			return false
		}
		if next := s.Status.NextRefreshTime; next != nil && next.Sub(now) < 10*time.Minute {
			return false
		}
		if secret := w.secretOf(s); secret == nil || s.Status.Secret == nil || s.Status.Secret.ResourceVersion != secret.ResourceVersion {
			return false
		}
		if s.Spec.Auth.Mint != nil && w.serves(w.deployment(string(s.Spec.DeploymentRef.Name))).live()[idOf(string(w.secretOf(s).Data["session"]))].ID == "" {
			return false
		}
	}
	for _, name := range simSettings {
		if w.content(name) != w.valid(name) {
			return false
		}
	}
	return w.noise == simNoise{} && !w.operator.dead && !w.operator.cache.lags() && now.After(w.stalled) && len(w.script) == 0 &&
		len(w.operator.deployments.runnable()) == 0 && len(w.operator.sessions.runnable()) == 0
}

// rotateSettings replaces the header pair, the operator's token and the supplied token, in many writes in any order, some
// of them wrong, without a pause as long as the quiet period. Servers take the old settings for as long. It costs one
// verification (B04), and nobody is told of anything that was not so (B08).
func (w *simWorld) rotateSettings() {
	if w.depth > 0 || !w.whole() {
		w.mendSettings()
		return
	}
	w.pair++
	for _, c := range w.coders {
		c.pairs[w.pair] = true
		w.own++
		c.token, c.supply = c.issue(simOperatorID, fmt.Sprintf("own-%d", w.own)), c.issue("ada", fmt.Sprintf("laptop-%d", w.own))
	}
	w.burst(1, w.valid)
	for _, c := range w.coders {
		c.pairs = map[int]bool{w.pair: true}
	}
}

// flipSettings writes and takes back: nothing is asked and nothing written (B07).
func (w *simWorld) flipSettings() {
	if w.depth > 0 || !w.whole() {
		return
	}
	writes := len(w.writes)
	w.burst(0, w.valid)
	for _, c := range w.writes[writes:] {
		if c.ref.kind != kindDeployment || !heartbeatOnly(c) {
			w.fail("B07: settings changed and came back, and %s %s was written: %s", c.ref.kind, c.ref.key, cmp.Diff(plain(c.before), plain(c.after)))
		}
	}
}

// burst makes the writes and counts what they cost.
func (w *simWorld) burst(cost int, final func(string) string) {
	w.calm = true
	w.count.bursts++
	before := map[string]int{"prod": len(w.verified["prod"]), "gate": len(w.verified["gate"])}
	names := slices.Clone(simSettings)
	for range w.rng.IntN(6) {
		names = append(names, pick(w, simSettings))
	}
	w.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for i, name := range names {
		w.run(w.jitter(250 * time.Millisecond))
		value := final(name)
		if slices.Contains(names[i+1:], name) && w.rng.IntN(2) == 0 {
			value = pick(w, []string{"wrong", "", "0123456789-0123456789012345678901"})
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

func (w *simWorld) switchServer() {
	name := pick(w, []string{"prod", "gate"})
	d := w.deployment(name)
	if d == nil {
		return
	}
	to := w.coders[w.rng.IntN(2)].http.URL
	w.tracef("* deployment %s goes to %s", name, to)
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
	w.tracef("* server %s down: %t", c.http.URL, c.down)
}

func (w *simWorld) toggleUser() {
	c := pick(w, w.coders)
	name := pick(w, append(simBots, "ada", simOperatorID))
	user, err := c.server.User(name)
	w.must(user, err)
	w.tracef("* user %s toggled", name)
	if user.Status == coderd.StatusSuspended {
		w.must(nil, c.server.Activate(name))
		return
	}
	w.must(nil, c.server.Suspend(name))
}

// breakToken revokes one on the server.
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

// breakOperator replaces a server's token for the operator; the old one ends at once.
func (w *simWorld) breakOperator() {
	c := pick(w, w.coders)
	w.tracef("* the operator's token is replaced on the server")
	w.must(nil, c.server.RevokeKey(idOf(c.token)))
	w.own++
	c.token = c.issue(simOperatorID, fmt.Sprintf("own-%d", w.own))
}

func (w *simWorld) jump() {
	d := pick(w, []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 5 * time.Hour})
	d += w.jitter(d)
	w.tracef("* %s go by at once", d)
	w.moveTo(w.clock.Now().Add(d))
}

func (w *simWorld) skew() {
	d := time.Duration(w.rng.IntN(9)-4) * time.Minute
	w.tracef("* the server's clock is %s ahead", d)
	pick(w, w.coders).server.SetClockOffset(d)
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
}

func (w *simWorld) editSession() {
	sessions := w.sessions()
	if len(sessions) == 0 {
		return
	}
	s := pick(w, sessions)
	what := w.rng.IntN(8)
	w.tracef("* session %s: edit %d", s.Name, what)
	_ = edit(w, refOf(s), func(s *v1alpha1.CoderSession) {
		switch mint := s.Spec.Auth.Mint; {
		case what == 0:
			s.Spec.Suspend = !s.Spec.Suspend
		case what == 1:
			s.Spec.Rotation = &v1alpha1.Rotation{Overlap: v1alpha1.DurationOf(pick(w, []time.Duration{time.Second, time.Minute, 10 * time.Minute}))}
		case what == 2:
			s.Spec.Secret = &v1alpha1.GeneratedSecret{Labels: map[string]v1alpha1.LabelValue{"edit": v1alpha1.LabelValue(fmt.Sprint(w.rng.IntN(9)))}}
		case what == 3:
			s.Spec.Secret = &v1alpha1.GeneratedSecret{Template: map[string]string{"netrc": "login {{ .User }} password {{ .Token }}"}}
		case what == 4:
			s.Spec.Secret = &v1alpha1.GeneratedSecret{DeletionPolicy: v1alpha1.DeletionPolicyRetain}
		case mint == nil && what == 5 && s.Spec.Auth.Token != nil:
			s.Spec.Auth = v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "bot-1", Lifetime: "4h"}}
		case mint == nil:
		case what == 5:
			mint.User = pick(w, simBots)
		case what == 6:
			mint.Lifetime = pick(w, []v1alpha1.Duration{"1h", "6h", "24h", "300h"})
		case what == 7 && s.Namespace == "coder" && s.Spec.DeploymentRef.Name == "prod":
			s.Spec.Auth = v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{SecretRef: v1alpha1.TokenSecretRef{Name: "mine-token", Key: "token"}}}
		}
	})
}

// editSecret does to a generated Secret what people do.
func (w *simWorld) editSecret() {
	sessions := w.sessions()
	if len(sessions) == 0 {
		return
	}
	secret := w.secretOf(pick(w, sessions))
	if secret == nil {
		return
	}
	what := w.rng.IntN(6)
	w.tracef("* Secret %s: edit %d", secret.Name, what)
	_ = edit(w, refOf(secret), func(s *corev1.Secret) {
		switch what {
		case 0:
			s.Data["session"] = []byte("edited")
		case 1:
			s.Data = map[string][]byte{"other": []byte("edited")}
		case 2:
			metav1.SetMetaDataAnnotation(&s.ObjectMeta, "somebody", fmt.Sprint(w.rng.IntN(1000)))
		case 3:
			metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationSerial, "many")
		case 4:
			s.Annotations = nil
		case 5:
			s.OwnerReferences = nil
		}
	})
}

func (w *simWorld) deleteSecret() {
	if sessions := w.sessions(); len(sessions) > 0 {
		if secret := w.secretOf(pick(w, sessions)); secret != nil {
			w.tracef("* Secret %s is deleted", secret.Name)
			_ = w.api.remove(refOf(secret), nil)
			if w.rng.IntN(6) == 0 {
				w.put(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name}, Data: map[string][]byte{"mine": []byte("!")}})
			}
		}
	}
}

func (w *simWorld) deleteSession() {
	if sessions := w.sessions(); len(sessions) > 0 {
		s := pick(w, sessions)
		w.tracef("* session %s is deleted", s.Name)
		_ = w.api.remove(refOf(s), nil)
	}
}

func (w *simWorld) createSession() {
	full := pick(w, simSessions)
	namespace, name, _ := strings.Cut(full, "/")
	if w.api.objects[ref{kindSession, key(namespace, name)}] == nil {
		w.tracef("* session %s is created", full)
		w.put(w.newSession(full))
	}
}

func (w *simWorld) toggleAccess() {
	w.tracef("* access changes")
	if w.rng.IntN(3) == 0 {
		namespace := ref{kindNamespace, key("", "builds")}
		_ = edit(w, namespace, func(n *corev1.Namespace) { n.Labels = map[string]string{"team": pick(w, []string{"builds", "other"})} })
		return
	}
	_ = edit(w, ref{kindDeployment, key("coder", "prod")}, func(d *v1alpha1.CoderDeployment) {
		d.Spec.Access = pick(w, [][]v1alpha1.AccessRule{nil, {simAccess()}})
	})
}

// leaveOrphans puts tokens on a server: one of a session that never was, and two that are none of the operator's business.
func (w *simWorld) leaveOrphans() {
	c := pick(w, w.coders)
	w.own++
	for _, name := range []string{"cso-" + simCluster + "-%08d-1", "cso-another1-%08d-1", "mine-%08d"} {
		name = fmt.Sprintf(name, w.own)
		w.tracef("* a token %s", name)
		c.issue("bot-1", name)
	}
}

func (w *simWorld) deleteDeployment() {
	if w.rng.IntN(3) == 0 {
		w.tracef("* deployment gate is deleted")
		_ = w.api.remove(ref{kindDeployment, key("coder", "gate")}, nil)
	}
}

// heal makes everything right again, as far as people can.
func (w *simWorld) heal() {
	w.tracef("* all is mended")
	w.noise, w.stalled, w.script, w.mended = simNoise{}, time.Time{}, nil, true
	for _, c := range w.coders {
		c.down = false
		for _, name := range append(simBots, "ada", simOperatorID) {
			w.must(nil, c.server.Activate(name))
		}
		c.pairs[w.pair] = true
		w.own++
		c.token, c.supply = c.issue(simOperatorID, fmt.Sprintf("own-%d", w.own)), c.issue("ada", fmt.Sprintf("laptop-%d", w.own))
		c.vouch = c.issue(simOperatorID, fmt.Sprintf("edge-%d", w.own))
	}
	w.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "builds", Labels: map[string]string{"team": "builds"}}})
	if d := w.deployment("gate"); d != nil && d.DeletionTimestamp != nil {
		for _, s := range w.sessions() {
			if s.Spec.DeploymentRef.Name == "gate" {
				_ = w.api.remove(refOf(s), nil)
			}
		}
		w.run(15 * time.Minute)
	}
	if w.deployment("gate") == nil {
		w.put(w.newDeployment("gate"))
	}
	_ = edit(w, ref{kindDeployment, key("coder", "prod")}, func(d *v1alpha1.CoderDeployment) { d.Spec.Access = []v1alpha1.AccessRule{simAccess()} })
	for _, name := range simSettings {
		w.write(name, w.valid(name))
	}
	for _, full := range simSessions {
		namespace, name, _ := strings.Cut(full, "/")
		if secret, ok := w.api.objects[ref{kindSecret, key(namespace, name)}].(*corev1.Secret); ok && len(secret.OwnerReferences) == 0 {
			_ = w.api.remove(refOf(secret), nil)
		}
	}
	for _, s := range w.sessions() {
		_ = edit(w, refOf(s), func(s *v1alpha1.CoderSession) { s.Spec.Suspend = false })
	}
	w.run(time.Minute)
	for _, full := range simSessions {
		namespace, name, _ := strings.Cut(full, "/")
		if w.api.objects[ref{kindSession, key(namespace, name)}] == nil {
			w.put(w.newSession(full))
		}
	}
}
