// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// judge checks one write of the operator.
func (w *simWorld) judge(c change) {
	switch after := c.after.(type) {
	case *corev1.Secret:
		before, _ := c.before.(*corev1.Secret)
		if c.ref.key == key("coder", "own") {
			w.judgeOwn(before, after)
		} else if w.sessionOfDocument(c.ref) == nil {
			w.judgeSecret(before, after)
		}
		w.secretless("metadata of Secret "+c.ref.key.String(), encoded(after.ObjectMeta))
	case *appsv1.Deployment:
		w.judgeRollout(c.before.(*appsv1.Deployment), after)
		return
	case *v1alpha1.CoderSession:
		w.secretless(c.ref.kind+" "+c.ref.key.String(), encoded(after))
		if before, ok := c.before.(*v1alpha1.CoderSession); ok {
			w.judgeRetirement(before, after)
		} else {
			w.judgeCreation(after)
		}
	case *v1alpha1.CoderDeployment:
		w.secretless(c.ref.kind+" "+c.ref.key.String(), encoded(after))
		w.judgeVerified(c.before.(*v1alpha1.CoderDeployment), after)
	}
	if gone, ok := c.before.(*corev1.Secret); ok && c.after == nil {
		w.judgeRemoval(gone)
	}
	if w.calm {
		w.judgeCalm(c)
	}
	if w.steadily {
		w.judgeSteady(c)
	}
}

// judgeSecret checks that the contents of a generated Secret are consistent and that its token
// was accepted by the server (B22, B42).
func (w *simWorld) judgeSecret(before, after *corev1.Secret) {
	if after.Annotations[v1alpha1.AnnotationRetained] != "" {
		return
	}
	name := client.ObjectKeyFromObject(after).String()
	value, url := string(after.Data["session"]), string(after.Data["url"])
	if string(after.Data["CODER_SESSION_TOKEN"]) != value || string(after.Data["CODER_URL"]) != url {
		w.fail("B22: the keys of Secret %s have different values", name)
	}
	w.rotated[client.ObjectKeyFromObject(after)] = w.clock.Now()
	if value == "" {
		return
	}
	if before != nil && string(before.Data["session"]) == value && string(before.Data["url"]) == url {
		return // the headers changed, or a manual change is reverted
	}
	w.judgePublished(after, idOf(value))
	token := w.tokens[idOf(value)]
	switch {
	case token == nil:
		w.fail("B42: Secret %s publishes a token that no server ever knew", name)
	case token.server.http.URL != url:
		w.fail("B22: Secret %s publishes token %s (%s) with the URL of another server", name, idOf(value), token.name)
	case token.revoked:
		w.fail("B42: Secret %s publishes token %s (%s), which the operator has revoked", name, idOf(value), token.name)
	case !strings.HasPrefix(token.name, "cso-") && !token.accepted:
		w.fail("B42: Secret %s publishes a supplied token that was never accepted", name)
	}
	w.judgeBound(w.sessionOfSecret(after), token.server, "Secret "+name+" publishes a token")
	if strings.HasPrefix(token.name, "cso-") {
		w.rotations++
	}
}

// sessionOfSecret returns the session of a generated Secret; nil: it does not exist.
func (w *simWorld) sessionOfSecret(secret *corev1.Secret) *v1alpha1.CoderSession {
	s, _ := w.api.objects[ref{kindSession, client.ObjectKeyFromObject(secret)}].(*v1alpha1.CoderSession)
	return s
}

// judgeCalm checks that no condition changes while valid settings are replaced by other valid
// settings in several writes (B08).
func (w *simWorld) judgeCalm(c change) {
	conditions := func(object client.Object) string {
		switch o := object.(type) {
		case *v1alpha1.CoderSession:
			ready := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionReady)
			return fmt.Sprintf("Ready=%s %s, suspension %v", ready.Status, ready.Reason, o.Status.Suspension)
		case *v1alpha1.CoderDeployment:
			ready := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionReady)
			return fmt.Sprintf("Ready=%s %s", ready.Status, ready.Reason)
		}
		return ""
	}
	if was, is := conditions(c.before), conditions(c.after); was != is {
		w.fail("B08: while settings settled %s %s turned from %q to %q", c.ref.kind, c.ref.key, was, is)
	}
}

// warned checks a Warning event.
func (w *simWorld) warned(r ref, reason string) {
	w.warnings = append(w.warnings, r.key.String()+" "+reason)
	if reason == v1alpha1.EventPodNotServed && !w.toldAgain(r) {
		return
	}
	// Tokens of another operator are found with the first list after settings have settled, and are no failure.
	if w.calm && reason != v1alpha1.ReasonDuplicateOperator {
		w.fail("B08: while settings settled there was the Warning %s about %s", reason, r.key)
	}
	// The first token of the operator's own, which a person made, is not revoked (B142).
	if w.steadily && reason != v1alpha1.EventRevocationRefused {
		w.fail("B94: in a steady state there was the Warning %s about %s", reason, r.key)
	}
}

// secretless checks that a text contains no credential (B90).
func (w *simWorld) secretless(where, text string) {
	for secret, what := range w.known {
		if strings.Contains(text, secret) {
			w.fail("B90: %s shows the %s", where, what)
		}
	}
}

// inspect checks the invariant that holds after each step: everything that is not in a final
// state is queued or has a timer (B09).
func (w *simWorld) inspect() {
	p := w.operator
	w.judgeStatuses()
	w.judgeStopped()
	for _, s := range w.sessions() {
		reason := reasonOfSession(s)
		// A certificate is checked with the deployment; a retired session waits for a request.
		idle := reason == v1alpha1.ReasonActive && s.Spec.Auth.Certificate != nil ||
			reason == v1alpha1.ReasonRetired && w.secretOf(s) == nil && len(s.Status.PendingRevocations) == 0
		if p.cache.lags(kindSession) || s.Spec.Paused || idle || slices.Contains(eventDriven, reason) {
			continue
		}
		key := client.ObjectKeyFromObject(s)
		queued := p.sessions.has(reconcile.Request{NamespacedName: key})
		if !queued && !p.parts.Sessions.Settling(key) && !p.awaitsTurn(key) {
			w.fail("B09: nothing will wake session %s, which is %s", key, reason)
		}
	}
	for _, name := range []string{"prod", "gate"} {
		d := w.deployment(name)
		if d == nil || p.cache.lags(kindDeployment) {
			continue
		}
		key := client.ObjectKeyFromObject(d)
		if !p.deployments.has(reconcile.Request{NamespacedName: key}) && !p.parts.Deployments.Settling(key) {
			w.fail("B09: nothing will wake deployment %s", key)
		}
	}
}

// eventDriven are reasons that only end with a change of a watched object.
var eventDriven = []string{
	v1alpha1.ReasonAccessDenied, v1alpha1.ReasonSecretConflict, v1alpha1.ReasonPaused, v1alpha1.ReasonConfigInvalid,
}

func reasonOfSession(s *v1alpha1.CoderSession) string {
	if ready := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Reason
	}
	return ""
}

// awaitsTurn reports whether a session waits for a worker after sessions that are queued
// already.
func (p *simOperator) awaitsTurn(key types.NamespacedName) bool {
	return p.parts.Sessions.AwaitsWorker(key, func(other types.NamespacedName) bool {
		return p.sessions.has(reconcile.Request{NamespacedName: other})
	})
}

// settled checks the final state: everything has recovered and nothing is left over.
func (w *simWorld) settled() {
	published := map[string]string{}
	for _, s := range w.sessions() {
		name := client.ObjectKeyFromObject(s).String()
		if s.Spec.PerPod != nil {
			w.settledParent(s)
			continue
		}
		if reason := reasonOfSession(s); reason == v1alpha1.ReasonRetired {
			w.settledRetired(s)
			continue
		} else if r, stopped := w.runsNot(s); stopped {
			w.settledStopped(s, r)
			continue
		} else if reason != v1alpha1.ReasonActive {
			w.fail("session %s does not recover: %s: %s", name, reason, encoded(s.Status.Conditions))
			continue
		}
		for _, token := range s.Status.PendingRevocations {
			if token.RevokeTime.After(w.wall().Add(-time.Minute)) {
				published[token.ID] = name // a rotation that was due just now
				continue
			}
			w.fail("session %s is still retiring %s", name, encoded(token))
		}
		if s.Status.Suspension != nil {
			w.fail("session %s is Active and suspended", name)
		}
		server := w.serves(w.deployment(string(s.Spec.DeploymentRef.Name))).server
		if next := s.Status.NextRefreshTime; next != nil && server.Now().Sub(next.Time) > time.Minute {
			w.fail("session %s does not rotate, which was due at %s", name, next)
		}
		secret := w.secretOf(s)
		if secret == nil {
			w.fail("session %s is Active without a Secret", name)
			continue
		}
		w.settledSecret(s, secret)
		if s.Spec.Auth.Mint != nil {
			published[idOf(string(secret.Data["session"]))] = name
		}
	}
	for _, name := range w.names {
		if d := w.deployment(name); !meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionReady) {
			w.fail("deployment %s does not recover: %s", name, encoded(d.Status))
		}
	}
	w.settledOwn(published)
	w.settledTokens(published)
	w.settledGrants()
	w.settledWishes()
	w.settledPods()
	if w.retaining() {
		w.settledRetention()
	}
}

func (w *simWorld) settledSecret(s *v1alpha1.CoderSession, secret *corev1.Secret) {
	d := w.deployment(string(s.Spec.DeploymentRef.Name))
	server := w.serves(d)
	name := client.ObjectKeyFromObject(s).String()
	if string(secret.Data["url"]) != d.Spec.URL {
		w.fail("session %s publishes %s, the deployment has %s", name, secret.Data["url"], d.Spec.URL)
	}
	value := string(secret.Data["session"])
	if s.Spec.Auth.Certificate == nil && !server.server.AcceptsToken(value) {
		w.fail("B42: session %s is Active with token %s, which the server does not accept", name, idOf(value))
	}
	id, edge := simPair(w.pair)
	if headers := string(secret.Data["headers"]); !strings.Contains(headers, id) || !strings.Contains(headers, edge) {
		w.fail("session %s does not publish the headers that are valid", name)
	}
}

// seemsReverted reports whether a token that the operator minted for itself is later, by the clock of the
// server, than the one that a person has written since: that clock was set back. Then the operator
// takes the written one for a former token, and keeps its own (B114).
func (w *simWorld) seemsReverted(c *simCoder, key coderd.Key) bool {
	return strings.HasPrefix(key.Name, w.ownPrefix()) && key.CreatedAt.After(c.live()[idOf(c.token)].CreatedAt)
}

// tellsOfDuplicate reports whether a deployment of a server says that another operator with the same
// cluster id mints there: tokens that appeared while this one ran, and that it has not minted, are left to
// that.
func (w *simWorld) tellsOfDuplicate(c *simCoder) bool {
	return slices.ContainsFunc(w.names, func(name string) bool {
		d := w.deployment(name)
		return d != nil && w.serves(d) == c &&
			meta.IsStatusConditionFalse(d.Status.Conditions, v1alpha1.ConditionIdentityUnique)
	})
}

// mintsFor reports whether a session mints tokens for a user of a server. Tokens of others that appeared while
// the operator ran are left alone, and tell of no other operator: users choose the names of their own tokens.
func (w *simWorld) mintsFor(c *simCoder, userID string) bool {
	return slices.ContainsFunc(w.sessions(), func(s *v1alpha1.CoderSession) bool {
		user := s.Status.User
		return s.Spec.Auth.Mint != nil && user != nil && user.ID == userID &&
			w.serves(w.deployment(string(s.Spec.DeploymentRef.Name))) == c
	})
}

// settledTokens checks that the servers in use have one valid token for each session that
// mints, and no other (B40, B41, B45). Tokens on a server that the deployment no longer uses
// are not counted, because they expire there.
func (w *simWorld) settledTokens(published map[string]string) {
	claimed, used := map[string]*simCoder{}, map[*simCoder]bool{}
	for _, name := range w.names {
		d := w.deployment(name)
		used[w.serves(d)] = true
		claimed[string(d.UID)[:8]] = w.serves(d)
	}
	for _, s := range w.sessions() {
		if s.Spec.Auth.Mint != nil || s.Status.Token != nil {
			claimed[string(s.UID)[:8]] = w.serves(w.deployment(string(s.Spec.DeploymentRef.Name)))
		}
	}
	for _, c := range w.coders {
		for id, key := range c.live() {
			home := claimed[strings.Split(key.Name, "-")[2]]
			// It is revoked with the first list after the grace period. Its server's clock was set back.
			young := c.server.Now().Sub(key.CreatedAt) < simOrphanGrace+deployment.DefaultInterval+simSlack
			elsewhere := home != nil && home != c
			foreign := home == nil && (young || w.tellsOfDuplicate(c) || !w.mintsFor(c, key.UserID))
			if published[id] != "" || !used[c] || elsewhere || foreign || w.seemsReverted(c, key) {
				continue
			}
			w.fail("B40: token %s (%s) of server %s is valid but belongs to no session", id, key.Name, c.http.URL)
		}
	}
}
