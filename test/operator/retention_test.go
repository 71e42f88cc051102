// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/shifted"
)

// by is the time of server and operator alike.
func by(c *shifted.Clock) setting {
	return func(o *worldOptions) { o.clock, o.server.Clock = c, c }
}

// keeps is a retention.
func keeps(most int32, idle v1alpha1.Duration) func(*v1alpha1.CoderDeploymentSpec) {
	return func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.Retention = &v1alpha1.Retention{}
		if most > 0 {
			spec.Retention.MaxSessions = &most
		}
		if idle != "" {
			spec.Retention.IdleTimeout = &idle
		}
	}
}

// uses does with a session's token what a pod would, and waits until the operator has
// heard of it.
func (w *world) uses(name string) {
	w.t.Helper()
	w.justUses(name)
	w.listedAgain()
}

func (w *world) justUses(name string) {
	w.t.Helper()
	request := httptest.NewRequest(http.MethodGet, w.listener.URL()+"/api/v2/users/me", nil)
	request.Header.Set("Coder-Session-Token", string(w.nowSecret(name).Data["session"]))
	answer := httptest.NewRecorder()
	if w.coder.ServeHTTP(answer, request); answer.Code != http.StatusOK {
		w.t.Fatalf("session %s: %d", name, answer.Code)
	}
}

// looksAt lets the operator look at a session: its timers do not know that the clock was
// shifted.
func (w *world) looksAt(name string) {
	w.t.Helper()
	secret := w.nowSecret(name)
	w.write(secret, func() { secret.Annotations["example.com/noticed"] = w.clock.Now().String() })
}

// listedAgain waits for a list of tokens that is newer than now.
func (w *world) listedAgain() {
	w.t.Helper()
	lists := func() int { return w.coder.Count("GET", "/api/v2/users") }
	before := lists()
	w.eventually(func(context.Context) error {
		if lists() < before+2 { // the first may have been under way
			return fmt.Errorf("not listed again yet")
		}
		return nil
	})
}

// retired: the session has neither token nor Secret, and says why.
func (w *world) retired(name, reason, fragment string) check {
	return func(ctx context.Context) error {
		if err := w.notReady(name, v1alpha1.ReasonRetired, fragment)(ctx); err != nil {
			return err
		}
		s, err := w.getSession(ctx, name)
		if err != nil {
			return err
		}
		if r := s.Status.Retirement; r == nil || r.Reason != reason || s.Status.Token != nil || len(s.Status.PendingRevocations) > 0 {
			return fmt.Errorf("session %s: retirement %+v, token %+v, retiring %+v", name, r, s.Status.Token, s.Status.PendingRevocations)
		}
		if _, err := w.getSecret(ctx, name); err == nil {
			return fmt.Errorf("session %s still has a Secret", name)
		}
		return nil
	}
}

// counts: the deployment tells of so many that are ready and retired.
func (w *world) counts(ready, retired int32) check {
	return func(ctx context.Context) error {
		d, err := w.getDeployment(ctx, "prod")
		if err != nil {
			return err
		}
		if c := d.Status.Sessions; c == nil || c.Ready != ready || c.Retired != retired {
			return fmt.Errorf("the deployment counts %+v, want %d ready and %d retired", c, ready, retired)
		}
		return nil
	}
}

// asksForRenewal does what kubectl coder renew does.
func (w *world) asksForRenewal(name, when string) {
	w.t.Helper()
	w.changeSession(name, func(s *v1alpha1.CoderSession) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[v1alpha1.AnnotationRenewRequestedAt] = when
	})
}

// handled: the session's renewal was asked for and is done.
func (w *world) handled(name, request string) check {
	return func(ctx context.Context) error {
		s, err := w.getSession(ctx, name)
		if err != nil {
			return err
		}
		if s.Status.LastHandledRenewAt != request {
			return fmt.Errorf("session %s has handled %q, want %q", name, s.Status.LastHandledRenewAt, request)
		}
		return nil
	}
}

const (
	first  = "2026-03-01T12:00:00Z"
	second = "2026-03-01T13:00:00Z"
)

// B27: beyond the limit the least recently used session goes, and returns on request, at
// the cost of the next; a restart of the operator changes nothing (B54).
func TestTheLeastRecentlyUsedSessionIsRetired(t *testing.T) {
	c := &shifted.Clock{}
	w := newWorld(t, mTLS, by(c))
	w.startOperator()
	w.create(w.deployment("prod", every("500ms"), keeps(2, "")))
	for _, name := range []string{"a", "b"} {
		w.create(w.mint(name, "ci-bot"))
		w.eventually(w.ready(name))
		c.Shift(10 * time.Minute)
	}
	w.uses("a")
	c.Shift(10 * time.Minute)
	w.create(w.mint("c", "ada"))
	w.eventually(w.ready("a"), w.ready("c"), w.retired("b", v1alpha1.RetirementSessionLimit, "kubectl coder renew b -n "+w.namespace), w.liveTokens(2), w.counts(2, 1))
	w.eventually(w.event(corev1.EventTypeNormal, v1alpha1.ReasonRetired, "retention.maxSessions"))

	c.Shift(10 * time.Minute)
	w.asksForRenewal("b", first)
	w.eventually(w.ready("b"), w.handled("b", first), w.retired("a", v1alpha1.RetirementSessionLimit, ""), w.ready("c"), w.liveTokens(2))

	c.Shift(10 * time.Minute)
	w.changeSession("a", func(s *v1alpha1.CoderSession) {
		overlap := v1alpha1.Duration("2m")
		s.Spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
	})
	w.eventually(w.ready("a"), w.retired("c", v1alpha1.RetirementSessionLimit, ""), w.ready("b"), w.liveTokens(2), w.counts(2, 1))

	w.operator.stop()
	mints, versions := w.mints(), map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		versions[name] = w.nowSession(name).ResourceVersion
	}
	w.startOperator()
	w.listedAgain()
	w.throughout(time.Second, w.liveTokens(2), func(context.Context) error {
		for name, version := range versions {
			if now := w.nowSession(name).ResourceVersion; now != version || w.mints() != mints {
				return fmt.Errorf("session %s was written after a restart, %d minted", name, w.mints()-mints)
			}
		}
		return nil
	})
	if told := w.eventsOf("c", v1alpha1.ReasonRetired); told != 1 { // B94
		t.Errorf("the retirement of c was told of %d times", told)
	}
}

// B27: what keeps a session away may go: the limit is raised, another session is deleted,
// or retention is removed; then it returns by itself. Nobody goes for it.
func TestARetiredSessionReturnsWhenThereIsRoom(t *testing.T) {
	c := &shifted.Clock{}
	w := newWorld(t, mTLS, by(c))
	w.startOperator()
	w.create(w.deployment("prod", every("500ms"), keeps(1, "")))
	for _, name := range []string{"a", "b", "c", "d"} {
		w.create(w.mint(name, "ci-bot"))
		w.eventually(w.ready(name), w.liveTokens(1))
		c.Shift(10 * time.Minute)
	}
	w.eventually(w.ready("d"), w.counts(1, 3))
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { keeps(2, "")(&d.Spec) })
	w.eventually(w.ready("d"), w.ready("c"), w.liveTokens(2), w.counts(2, 2))
	w.delete(w.nowSession("d"))
	w.eventually(w.ready("c"), w.ready("b"), w.liveTokens(2), w.retired("a", v1alpha1.RetirementSessionLimit, "at most 2"))
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Retention = nil })
	w.eventually(w.ready("a"), w.ready("b"), w.ready("c"), w.liveTokens(3), w.counts(3, 0))
	w.listedAgain()
	w.throughout(time.Second, w.liveTokens(3))
}

// B28: a session that nobody uses goes after the timeout and the hour that the server's
// record may be late; a use keeps it, a rotation does not.
func TestAnIdleSessionIsRetired(t *testing.T) {
	c := &shifted.Clock{}
	w := newWorld(t, mTLS, by(c))
	w.startOperator()
	short := func(spec *v1alpha1.CoderSessionSpec) { spec.Auth.Mint.Lifetime = "90m" }
	w.create(w.deployment("prod", every("500ms"), keeps(0, "2h")), w.mint("used", "ci-bot"), w.mint("never", "ci-bot", short))
	w.eventually(w.ready("used"), w.ready("never"))
	for _, serial := range []int64{2, 3} {
		c.Shift(70 * time.Minute)
		w.looksAt("never")
		w.eventually(w.serial("never", serial))
	}
	c.Shift(38 * time.Minute) // two hours and 58 minutes
	w.listedAgain()
	w.throughout(time.Second, w.ready("used"), w.ready("never"))
	w.justUses("used") // in the last minute
	c.Shift(4 * time.Minute)
	w.eventually(w.retired("never", v1alpha1.RetirementIdle, "2h (retention.idleTimeout)"), w.ready("used"), w.liveTokens(1))

	// It returns for as long; what it was before is of no account.
	w.asksForRenewal("never", first)
	w.eventually(w.ready("never"), w.handled("never", first))
	c.Shift(time.Hour)
	w.uses("never")
	c.Shift(time.Hour + 51*time.Minute) // two hours and 55 minutes after the other one was used
	w.looksAt("never")
	w.eventually(w.serial("never", 2), w.ready("never"))
	w.listedAgain()
	w.throughout(time.Second, w.ready("used"), w.ready("never"))
	c.Shift(15 * time.Minute)
	w.eventually(w.retired("used", v1alpha1.RetirementIdle, ""), w.ready("never"))

	// Raised, the timeout keeps nobody away who would not be idle.
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { keeps(0, "20h")(&d.Spec) })
	w.eventually(w.ready("used"), w.ready("never"), w.liveTokens(2))
}

// Who cannot see the tokens of a user cannot tell that nobody uses them.
func TestNobodyIsRetiredUnseen(t *testing.T) {
	c := &shifted.Clock{}
	w := newWorld(t, mTLS, by(c))
	w.startOperator()
	w.create(w.deployment("prod", every("500ms"), keeps(0, "2h")), w.mint("ci", "ci-bot"))
	w.eventually(w.ready("ci"), w.counts(1, 0))
	w.must(w.coder.SetRoles("operator"))
	w.eventually(func(ctx context.Context) error {
		d, err := w.getDeployment(ctx, "prod")
		if err == nil && len(d.Status.User.Roles) > 0 {
			return fmt.Errorf("the operator still is %v", d.Status.User.Roles)
		}
		return err
	})
	c.Shift(5 * time.Hour)
	w.listedAgain()
	w.throughout(time.Second, w.ready("ci"))
	w.must(w.coder.SetRoles("operator", "owner"))
	w.eventually(w.retired("ci", v1alpha1.RetirementIdle, ""))
}

// B51: retention goes by the list that there is anyway: it costs no request for each
// session, and a steady state nothing at all.
func TestRetentionCostsNoRequests(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", every("1s"), keeps(8, "720h")))
	const sessions = 12
	for i := range sessions {
		w.create(w.mint(fmt.Sprintf("ci-%d", i), "ci-bot"))
	}
	w.eventually(w.counts(8, 4), w.liveTokens(8))
	w.listedAgain()
	w.costsTheSame(sessions)
}
