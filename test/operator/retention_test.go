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
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// withClock is the time of server and operator alike.
func withClock(c *shifted.Clock) setting {
	return func(o *envOptions) { o.clock, o.server.Clock = c, c }
}

// withRetention is a retention.
func withRetention(most int32, idle v1alpha1.Duration) func(*v1alpha1.CoderDeploymentSpec) {
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

// useToken does with a session's token what a pod would, and waits until the operator has
// heard of it.
func (w *operatorEnv) useToken(name string) {
	w.T.Helper()
	w.justUses(name)
	w.listedAgain()
}

func (w *operatorEnv) justUses(name string) {
	w.T.Helper()
	request := httptest.NewRequest(http.MethodGet, w.listener.URL()+"/api/v2/users/me", nil)
	request.Header.Set("Coder-Session-Token", string(w.CurrentSecret(name).Data["session"]))
	answer := httptest.NewRecorder()
	if w.Coder.ServeHTTP(answer, request); answer.Code != http.StatusOK {
		w.T.Fatalf("session %s: %d", name, answer.Code)
	}
}

// looksAt lets the operator look at a session: its timers do not know that the clock was
// shifted.
func (w *operatorEnv) looksAt(name string) {
	w.T.Helper()
	secret := w.CurrentSecret(name)
	w.Write(secret, func() { secret.Annotations["example.com/noticed"] = w.clock.Now().String() })
}

// listedAgain waits for a list of tokens that is newer than now.
func (w *operatorEnv) listedAgain() {
	w.T.Helper()
	lists := func() int { return w.Coder.Count("GET", "/api/v2/users") }
	before := lists()
	w.Eventually(func(context.Context) error {
		if lists() < before+2 { // the first may have been under way
			return fmt.Errorf("not listed again yet")
		}
		return nil
	})
}

// isRetired: the session has neither token nor Secret, and says why.
func (w *operatorEnv) isRetired(name, reason, fragment string) wait.Check {
	return func(ctx context.Context) error {
		if err := w.IsNotReady(name, v1alpha1.ReasonRetired, fragment)(ctx); err != nil {
			return err
		}
		s, err := w.GetSession(ctx, name)
		if err != nil {
			return err
		}
		if r := s.Status.Retirement; r == nil || r.Reason != reason || s.Status.Token != nil ||
			len(s.Status.PendingRevocations) > 0 {
			return fmt.Errorf("session %s: retirement %+v, token %+v, pending revocations %+v", name, r, s.Status.Token,
				s.Status.PendingRevocations)
		}
		if _, err := w.GetSecret(ctx, name); err == nil {
			return fmt.Errorf("session %s still has a Secret", name)
		}
		return nil
	}
}

// countsSessions: the deployment tells of so many that are ready and retired.
func (w *operatorEnv) countsSessions(ready, retired int32) wait.Check {
	return func(ctx context.Context) error {
		d, err := w.GetDeployment(ctx, "prod")
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
func (w *operatorEnv) asksForRenewal(name, when string) {
	w.T.Helper()
	w.EditSession(name, func(s *v1alpha1.CoderSession) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[v1alpha1.AnnotationRenewRequestedAt] = when
	})
}

// isRenewalHandled: the session's renewal was asked for and is done.
func (w *operatorEnv) isRenewalHandled(name, request string) wait.Check {
	return func(ctx context.Context) error {
		s, err := w.GetSession(ctx, name)
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
	w := newEnv(t, withMTLS, withClock(c))
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms"), withRetention(2, "")))
	for _, name := range []string{"a", "b"} {
		w.Create(w.NewMintedSession(name, "ci-bot"))
		w.Eventually(w.IsReady(name))
		c.Shift(10 * time.Minute)
	}
	w.useToken("a")
	c.Shift(10 * time.Minute)
	w.Create(w.NewMintedSession("c", "ada"))
	w.Eventually(w.IsReady("a"), w.IsReady("c"),
		w.isRetired("b", v1alpha1.RetirementSessionLimit, "kubectl coder renew"), w.hasLiveTokens(2), w.countsSessions(2, 1))
	w.Eventually(w.hasEvent(corev1.EventTypeNormal, v1alpha1.ReasonRetired, "retention.maxSessions"),
		w.hasMetric("retirements_total", 1))

	c.Shift(10 * time.Minute)
	w.asksForRenewal("b", first)
	w.Eventually(w.IsReady("b"), w.isRenewalHandled("b", first), w.isRetired("a", v1alpha1.RetirementSessionLimit, ""),
		w.IsReady("c"), w.hasLiveTokens(2))

	c.Shift(10 * time.Minute)
	w.EditSession("a", func(s *v1alpha1.CoderSession) {
		overlap := v1alpha1.Duration("2m")
		s.Spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
	})
	w.Eventually(w.IsReady("a"), w.isRetired("c", v1alpha1.RetirementSessionLimit, ""), w.IsReady("b"),
		w.hasLiveTokens(2), w.countsSessions(2, 1))

	w.stopOperator()
	mints, versions := w.CountMints(), map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		versions[name] = w.CurrentSession(name).ResourceVersion
	}
	w.startOperator()
	w.listedAgain()
	w.Throughout(time.Second, w.hasLiveTokens(2), func(context.Context) error {
		for name, version := range versions {
			if now := w.CurrentSession(name).ResourceVersion; now != version || w.CountMints() != mints {
				return fmt.Errorf("session %s was written after a restart, %d minted", name, w.CountMints()-mints)
			}
		}
		return nil
	})
	if told := w.eventsOf("c", v1alpha1.ReasonRetired); told != 1 { // B94
		t.Errorf("the retirement of c was told of %d times", told)
	}
}

// B27: what keeps a session away may go: the limit is raised, another session is deleted,
// or retention is removed; then it returns by itself, and no other session goes for it.
func TestARetiredSessionReturnsWhenThereIsRoom(t *testing.T) {
	c := &shifted.Clock{}
	w := newEnv(t, withMTLS, withClock(c))
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms"), withRetention(1, "")))
	for _, name := range []string{"a", "b", "c", "d"} {
		w.Create(w.NewMintedSession(name, "ci-bot"))
		w.Eventually(w.IsReady(name), w.hasLiveTokens(1))
		c.Shift(10 * time.Minute)
	}
	w.Eventually(w.IsReady("d"), w.countsSessions(1, 3))
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { withRetention(2, "")(&d.Spec) })
	w.Eventually(w.IsReady("d"), w.IsReady("c"), w.hasLiveTokens(2), w.countsSessions(2, 2))
	w.Delete(w.CurrentSession("d"))
	w.Eventually(w.IsReady("c"), w.IsReady("b"), w.hasLiveTokens(2),
		w.isRetired("a", v1alpha1.RetirementSessionLimit, "at most 2"))
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Retention = nil })
	w.Eventually(w.IsReady("a"), w.IsReady("b"), w.IsReady("c"), w.hasLiveTokens(3), w.countsSessions(3, 0))
	w.listedAgain()
	w.Throughout(time.Second, w.hasLiveTokens(3))
}

// B28: an unused session goes after the timeout and the hour that the server's
// record may be late; a use keeps it, a rotation does not.
func TestAnIdleSessionIsRetired(t *testing.T) {
	c := &shifted.Clock{}
	w := newEnv(t, withMTLS, withClock(c))
	w.startOperator()
	short := func(spec *v1alpha1.CoderSessionSpec) { spec.Auth.Mint.Lifetime = "90m" }
	w.Create(w.newDeployment("prod", withInterval("500ms"), withRetention(0, "2h")),
		w.NewMintedSession("used", "ci-bot"), w.NewMintedSession("never", "ci-bot", short))
	w.Eventually(w.IsReady("used"), w.IsReady("never"))
	for _, serial := range []int64{2, 3} {
		c.Shift(70 * time.Minute)
		w.looksAt("never")
		w.Eventually(w.hasSerial("never", serial))
	}
	c.Shift(38 * time.Minute) // two hours and 58 minutes
	w.listedAgain()
	w.Throughout(time.Second, w.IsReady("used"), w.IsReady("never"))
	w.justUses("used") // in the last minute
	c.Shift(4 * time.Minute)
	w.Eventually(w.isRetired("never", v1alpha1.RetirementIdle, "2h (retention.idleTimeout)"), w.IsReady("used"),
		w.hasLiveTokens(1))

	// It returns for as long; what it was before is of no account.
	w.asksForRenewal("never", first)
	w.Eventually(w.IsReady("never"), w.isRenewalHandled("never", first))
	c.Shift(time.Hour)
	w.useToken("never")
	c.Shift(time.Hour + 51*time.Minute) // two hours and 55 minutes after the other one was used
	w.looksAt("never")
	w.Eventually(w.hasSerial("never", 2), w.IsReady("never"))
	w.listedAgain()
	w.Throughout(time.Second, w.IsReady("used"), w.IsReady("never"))
	c.Shift(15 * time.Minute)
	w.Eventually(w.isRetired("used", v1alpha1.RetirementIdle, ""), w.IsReady("never"))

	// With a longer timeout the session is not idle any more.
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { withRetention(0, "20h")(&d.Spec) })
	w.Eventually(w.IsReady("used"), w.IsReady("never"), w.hasLiveTokens(2))
}

// An operator that cannot see the tokens of a user cannot tell that they are unused.
func TestNoSessionIsRetiredUnseen(t *testing.T) {
	c := &shifted.Clock{}
	w := newEnv(t, withMTLS, withClock(c))
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms"), withRetention(0, "2h")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"), w.countsSessions(1, 0))
	w.Must(w.Coder.SetRoles("operator"))
	w.Eventually(func(ctx context.Context) error {
		d, err := w.GetDeployment(ctx, "prod")
		if err == nil && len(d.Status.User.Roles) > 0 {
			return fmt.Errorf("the operator still is %v", d.Status.User.Roles)
		}
		return err
	})
	c.Shift(5 * time.Hour)
	w.listedAgain()
	w.Throughout(time.Second, w.IsReady("ci"))
	w.Must(w.Coder.SetRoles("operator", "owner"))
	w.Eventually(w.isRetired("ci", v1alpha1.RetirementIdle, ""))
}

// B51: retention goes by the list that there is anyway: it costs no request for each
// session, and a steady state nothing at all.
func TestRetentionCostsNoRequests(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s"), withRetention(8, "720h")))
	const sessions = 12
	for i := range sessions {
		w.Create(w.NewMintedSession(fmt.Sprintf("ci-%d", i), "ci-bot"))
	}
	w.Eventually(w.countsSessions(8, 4), w.hasLiveTokens(8))
	w.listedAgain()
	w.costsTheSame(sessions)
}
