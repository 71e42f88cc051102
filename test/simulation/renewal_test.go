// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// Settings of the renewal of the operator's own token.
const (
	simOwnLifetime = 6 * time.Hour
	simOwnBefore   = 2 * time.Hour
)

// renewsOwn returns true for half of the seeds: the operator then renews its own token. It uses
// its own random source and is false for the seeds in regressions, so that their schedules
// stay the same.
func renewsOwn(seed uint64) bool { return rand.New(rand.NewPCG(seed, 0x33)).IntN(2) == 0 }

// ownToken returns the operator's token as a user would write it now. An expired or revoked
// token is replaced.
func (w *simWorld) ownToken(c *simCoder) string {
	if token := w.tokens[idOf(c.token)]; w.renews && (token.broken || !c.server.Now().Before(token.ends)) {
		c.issueOwn()
	}
	return c.token
}

// issueOwn issues a new token for the operator.
func (c *simCoder) issueOwn() {
	c.w.own++
	lifetime := 2000 * time.Hour
	if c.w.renews {
		lifetime = simOwnLifetime
	}
	c.token = c.issueFor(simOperatorID, fmt.Sprintf("own-%d", c.w.own), lifetime)
	c.w.tokens[idOf(c.token)].ends = c.server.Now().Add(lifetime)
}

// revokeOwnOfFuture revokes the operator's own tokens that a server made while its clock was ahead: a new one of a
// person would be taken for a former one.
func (w *simWorld) revokeOwnOfFuture(c *simCoder) {
	for _, token := range c.server.Keys(coderd.KeyFilter{NamePrefix: w.ownPrefix(), Live: true}) {
		if token.CreatedAt.After(c.server.Now()) {
			w.must(nil, c.server.RevokeKey(token.ID))
			if known := w.tokens[token.ID]; known != nil {
				known.broken = true
			}
		}
	}
}

func (w *simWorld) ownSecret() *corev1.Secret {
	found, _ := w.api.objects[ref{kindSecret, key("coder", "own")}].(*corev1.Secret)
	return found
}

// ownPrefix returns the prefix of the names of the operator's own tokens.
func (w *simWorld) ownPrefix() string {
	return inventory.Names{Cluster: simCluster}.SessionPrefix(string(w.deployment("prod").UID))
}

// judgeOwn checks a write to the Secret of the operator's own token: the operator replaces the
// token and records the predecessor, or removes that record (B50).
func (w *simWorld) judgeOwn(before, after *corev1.Secret) {
	value, was := string(after.Data["token"]), string(before.Data["token"])
	if value == was {
		return
	}
	token := w.tokens[idOf(value)]
	switch {
	case token == nil || !strings.HasPrefix(token.name, w.ownPrefix()):
		w.fail("B50: the operator's own token is replaced by one that is not for that: %+v", token)
		return
	case token.revoked:
		w.fail("B50: the operator's own token is replaced by %s, which is revoked", token.name)
	case after.Annotations[v1alpha1.AnnotationPredecessor] != idOf(was):
		w.fail("B50: token %s replaces %s and does not say so", idOf(value), idOf(was))
	}
	token.server.token, token.ends = value, token.server.live()[idOf(value)].ExpiresAt
	w.tokens[idOf(was)].replaced = w.wall()
	w.rotations++
	w.count.renewals++
}

// predecessorRevoked reports whether a token is a predecessor of the operator's own token whose
// overlap has ended. The overlap begins when the token is replaced.
func (w *simWorld) predecessorRevoked(token *minted) bool {
	return !token.replaced.IsZero() && w.wall().Sub(token.replaced) >= deployment.PredecessorOverlap-simSlack
}

// ownRests reports whether no renewal or revocation of the operator's own token is due soon.
func (w *simWorld) ownRests() bool {
	if !w.renews {
		return true
	}
	own := w.ownSecret()
	return own != nil && own.Annotations[v1alpha1.AnnotationPredecessor] == "" && w.untilRenewal() > 10*time.Minute
}

// untilRenewal returns the time until the operator's own token is renewed; negative if the
// renewal is late.
func (w *simWorld) untilRenewal() time.Duration {
	id := idOf(w.content("own"))
	for _, token := range w.serves(w.deployment("prod")).server.Keys(coderd.KeyFilter{User: simOperatorID}) {
		if token.ID == id {
			return token.ExpiresAt.Add(-simOwnBefore).Sub(w.serves(w.deployment("prod")).server.Now())
		}
	}
	return 0
}

// renewsInTime reports whether the operator's own token is renewed shortly before it expires,
// or the record of its predecessor is removed after the overlap.
func (w *simWorld) renewsInTime(before, after *corev1.Secret) bool {
	was := w.tokens[idOf(string(before.Data["token"]))]
	if string(after.Data["token"]) != string(before.Data["token"]) {
		return was.ends.Add(-simOwnBefore).Sub(was.server.server.Now()) <= simSlack
	}
	due, err := time.Parse(time.RFC3339, before.Annotations[v1alpha1.AnnotationRevokeAfter])
	former := before.Annotations[v1alpha1.AnnotationPredecessor]
	// One that a person has made is left to its end (B142).
	minted := w.tokens[former] != nil && strings.HasPrefix(w.tokens[former].name, w.ownPrefix())
	return err == nil && !due.After(w.wall()) && !(minted && w.lives(former))
}

// tellsOfRenewal reports whether a status changes only in the fields that a renewal of the
// operator's own token changes.
func (w *simWorld) tellsOfRenewal(before, after *v1alpha1.CoderDeployment) bool {
	token := w.tokens[idOf(w.content("own"))]
	if !w.renews || after.Name != "prod" || token == nil || after.Status.TokenExpirationTime == nil {
		return false
	}
	want := before.DeepCopy().Status
	want.LastVerifiedTime, want.AuthFingerprint = after.Status.LastVerifiedTime, after.Status.AuthFingerprint
	want.TokenExpirationTime = after.Status.TokenExpirationTime
	if is := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionTokenRenewed); is != nil {
		meta.SetStatusCondition(&want.Conditions, *is)
	}
	renewed := before.Status.AuthFingerprint != after.Status.AuthFingerprint ||
		!before.Status.TokenExpirationTime.Equal(after.Status.TokenExpirationTime)
	return renewed && after.Status.TokenExpirationTime.Sub(token.ends).Abs() <= time.Second &&
		encoded(want) == encoded(after.Status)
}

// settledOwn checks that the token in the Secret is the operator's only own token, and that its
// renewal is not late (B50).
func (w *simWorld) settledOwn(published map[string]string) {
	if !w.renews {
		return
	}
	own, server := w.ownSecret(), w.serves(w.deployment("prod")).server
	value := string(own.Data["token"])
	if !server.AcceptsToken(value) {
		w.fail("B50: the server does not accept the operator's own token")
	}
	if late := -w.untilRenewal(); late > time.Minute && !w.tellsOfReversal() {
		w.fail("B50: the renewal of the operator's own token is %s late", late)
	}
	published[idOf(value)] = "the operator"
	due, err := time.Parse(time.RFC3339, own.Annotations[v1alpha1.AnnotationRevokeAfter])
	if err == nil && w.wall().Sub(due) < time.Minute {
		published[own.Annotations[v1alpha1.AnnotationPredecessor]] = "the operator"
	}
}

// tellsOfReversal reports whether the deployment waits for a person because it takes the operator's own
// token for a former one. It may if the server shows another one that is younger, be it that the
// server's clock was ahead then (B114).
func (w *simWorld) tellsOfReversal() bool {
	d := w.deployment("prod")
	renewed := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionTokenRenewed)
	if renewed == nil || renewed.Reason != v1alpha1.ReasonTokenReverted {
		return false
	}
	keys := w.serves(d).server.Keys(coderd.KeyFilter{User: simOperatorID})
	held := slices.IndexFunc(keys, func(k coderd.Key) bool { return k.ID == idOf(w.content("own")) })
	return held >= 0 && slices.ContainsFunc(keys, func(k coderd.Key) bool {
		return strings.HasPrefix(k.Name, w.ownPrefix()) && k.CreatedAt.After(keys[held].CreatedAt)
	})
}

// TestARenewalMeetsAnotherWrite checks that a write of another client to the Secret of the
// operator's own token during a renewal is not overwritten. The renewal does not count as
// failed and is tried again if it is still needed (B30, B50).
func TestARenewalMeetsAnotherWrite(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		write func(*simWorld)
		again bool
	}{
		"a note": {again: true, write: func(w *simWorld) {
			_ = edit(w, ref{kindSecret, key("coder", "own")}, func(s *corev1.Secret) { s.Data["note"] = []byte("mine") })
		}},
		"another token, which is not known at once": {write: func(w *simWorld) {
			w.writeOwn()
			w.stalled = w.clock.Now().Add(10 * time.Second)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSimWorld(3) // a seed for which renewsOwn is true
			defer w.close()
			w.changesStopped, w.verbose = true, true
			w.run(w.untilRenewal() - 10*time.Minute)
			var written *corev1.Secret
			w.upon("update Secret coder/own", func() {
				test.write(w)
				written = w.ownSecret()
			})
			w.run(25 * time.Minute)
			for _, c := range w.writes {
				d, ok := c.after.(*v1alpha1.CoderDeployment)
				if ok && meta.IsStatusConditionFalse(d.Status.Conditions, v1alpha1.ConditionTokenRenewed) {
					w.fail("TokenRenewed is False: %s", encoded(d.Status.Conditions))
				}
			}
			own := w.ownSecret()
			renewed := written != nil && string(own.Data["token"]) != string(written.Data["token"])
			if written == nil || renewed != test.again || string(own.Data["note"]) != string(written.Data["note"]) {
				w.fail("met another write: %t, renewed after it: %t", written != nil, renewed)
			}
			if name := w.ownPrefix() + "1"; !test.again && w.mints[name] != 1 {
				w.fail("token %s is minted %d times, want 1", name, w.mints[name])
			}
			w.settled()
			if len(w.problems) > 0 {
				t.Errorf("%s\n%s", strings.Join(w.problems, "\n"), strings.Join(w.trace, "\n"))
			}
		})
	}
}
