// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// retainsSessions decides for half of the seeds that deployment prod retires sessions there, and that people ask for
// renewals and verifications. It takes nothing from the world's own source, and none of the seeds in regressions has it:
// their schedules stay what they were.
func retainsSessions(seed uint64) bool { return rand.New(rand.NewPCG(seed, 0x2d5)).IntN(2) == 0 }

// Retentions that prod can have.
var simRetentions = []*v1alpha1.Retention{
	nil, retention(1, ""), retention(2, "6h"), retention(2, "3h"), retention(0, "2h"),
}

func retention(most int32, idle v1alpha1.Duration) *v1alpha1.Retention {
	r := &v1alpha1.Retention{}
	if most > 0 {
		r.MaxSessions = &most
	}
	if idle != "" {
		r.IdleTimeout = &idle
	}
	return r
}

// wishes are what people do besides where sessions are retired.
var wishes = []func(*simWorld){
	(*simWorld).useToken, (*simWorld).useToken, (*simWorld).useToken, (*simWorld).askForRenewal, (*simWorld).askForRenewal,
	(*simWorld).askForVerification, (*simWorld).changeRetention,
}

// possible are the changes of this world.
func (w *simWorld) possible(always []func(*simWorld)) []func(*simWorld) {
	if !w.retains {
		return always
	}
	return slices.Concat(always, wishes)
}

// useToken does with a session's token what a pod would.
func (w *simWorld) useToken() {
	if sessions := w.sessions(); len(sessions) > 0 {
		w.use(pick(w, sessions))
	}
}

func (w *simWorld) use(s *v1alpha1.CoderSession) {
	secret := w.secretOf(s)
	if secret == nil {
		return
	}
	w.tracef("* session %s is used", s.Name)
	request := httptest.NewRequest(http.MethodGet, "/api/v2/users/me", nil)
	request.Header.Set("Coder-Session-Token", string(secret.Data["session"]))
	w.serves(w.deployment(string(s.Spec.DeploymentRef.Name))).server.ServeHTTP(httptest.NewRecorder(), request)
}

// askForRenewal asks for another credential of a session.
func (w *simWorld) askForRenewal() {
	if sessions := w.sessions(); len(sessions) > 0 {
		w.ask(pick(w, sessions))
	}
}

func (w *simWorld) ask(s *v1alpha1.CoderSession) {
	w.wishes++
	w.tracef("* session %s: renewal %d is asked for", s.Name, w.wishes)
	_ = edit(w, refOf(s), func(s *v1alpha1.CoderSession) {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationRenewRequestedAt, fmt.Sprint(w.wishes))
	})
}

func (w *simWorld) askForVerification() {
	w.wishes++
	w.tracef("* verification %d is asked for", w.wishes)
	_ = edit(w, ref{kindDeployment, key("coder", pick(w, []string{"prod", "gate"}))}, func(d *v1alpha1.CoderDeployment) {
		metav1.SetMetaDataAnnotation(&d.ObjectMeta, v1alpha1.AnnotationVerifyRequestedAt, fmt.Sprint(w.wishes))
	})
}

func (w *simWorld) changeRetention() { w.retain(pick(w, simRetentions)) }

func (w *simWorld) retain(r *v1alpha1.Retention) {
	w.tracef("* retention becomes %s", encoded(r))
	_ = edit(w, ref{kindDeployment, key("coder", "prod")}, func(d *v1alpha1.CoderDeployment) { d.Spec.Retention = r.DeepCopy() })
}

// retaining reports whether sessions may be retired now.
func (w *simWorld) retaining() bool {
	d := w.deployment("prod")
	return d != nil && d.Spec.Retention != nil
}

// judgeRetirement counts what status says of retirements, and holds that it says one thing (B27).
func (w *simWorld) judgeRetirement(before, after *v1alpha1.CoderSession) {
	was, is := before.Status.Retirement, after.Status.Retirement
	reason := reasonOfSession(after)
	switch {
	case is != nil && reason == v1alpha1.ReasonActive:
		w.fail("B27: session %s/%s is Active and retired", after.Namespace, after.Name)
	case is == nil && reason == v1alpha1.ReasonRetired:
		w.fail("B27: session %s/%s is Retired, and status does not say why", after.Namespace, after.Name)
	case is != nil && was == nil:
		w.count.retirements++
	case is == nil && was != nil:
		w.count.returns++
	}
}

// judgeRemoval: a Secret that goes because its session is retired goes when status says so (B27).
func (w *simWorld) judgeRemoval(before *corev1.Secret) {
	s, ok := w.api.objects[ref{kindSession, client.ObjectKeyFromObject(before)}].(*v1alpha1.CoderSession)
	if !ok || s.DeletionTimestamp != nil || s.Status.Retirement != nil || s.Namespace != "coder" {
		return // access rules take Secrets too, in other namespaces
	}
	if r := w.operator.parts.sessions.retention.on(s.DeploymentKey(), s.UID); r.Reason != "" && reasonOfSession(s) == v1alpha1.ReasonActive {
		w.fail("B27: the Secret of session %s/%s goes before status says that it is retired", s.Namespace, s.Name)
	}
}

// settledRetired: of a session that rests nothing is left, and nothing but its request is missing for it to return.
func (w *simWorld) settledRetired(s *v1alpha1.CoderSession) {
	name := client.ObjectKeyFromObject(s).String()
	switch {
	case s.Status.Retirement == nil || s.Spec.Auth.Mint == nil || !w.retaining():
		w.fail("B27: session %s is Retired for no reason: %s", name, encoded(s.Status))
	case w.secretOf(s) != nil || s.Status.Token != nil:
		w.fail("B27: session %s is Retired and has a Secret or token", name)
	case session.Asking(s):
		w.fail("B27: session %s is Retired, and somebody wants it back: %s", name, encoded(s))
	}
}

// settledRetention: as many are kept as may be, those that were used last (B27, B28).
func (w *simWorld) settledRetention() {
	const slack = 15 * time.Minute // the age of a list, and of a skew
	d := w.deployment("prod")
	policy := deployment.PolicyOf(d.Spec.Retention)
	var kept, retired []*v1alpha1.CoderSession
	for _, s := range w.sessions() {
		switch {
		case s.Spec.Auth.Mint == nil || s.Spec.DeploymentRef.Name != "prod":
		case reasonOfSession(s) == v1alpha1.ReasonRetired:
			retired = append(retired, s)
		default:
			kept = append(kept, s)
		}
	}
	if most := policy.MaxSessions; most > 0 && len(kept) > most {
		w.fail("B27: %d sessions are kept, %d may be", len(kept), most)
	}
	idle := func(s *v1alpha1.CoderSession) time.Duration { // for how much longer than it may be
		if policy.IdleTimeout == 0 {
			return -time.Hour
		}
		return w.clock.Now().Sub(w.lastActive(s)) - policy.IdleTimeout - time.Hour
	}
	for _, s := range kept {
		if idle(s) > slack {
			w.fail("B28: session %s is idle for %s longer than it may be", s.Name, idle(s))
		}
	}
	for _, gone := range retired {
		why := gone.Status.Retirement
		if why.Reason == v1alpha1.RetirementIdle && idle(gone) < -slack || why.Reason == v1alpha1.RetirementSessionLimit && policy.MaxSessions == 0 {
			w.fail("B28: session %s stays away for nothing: %s", gone.Name, encoded(why))
		}
		for _, s := range kept {
			if why.Reason == v1alpha1.RetirementSessionLimit && w.lastActive(s).Add(slack).Before(why.LastActiveTime.Time) {
				w.fail("B27: session %s is kept, active at %s, and %s is not, active at %s", s.Name, w.lastActive(s), gone.Name, why.LastActiveTime)
			}
		}
		if why.Reason == v1alpha1.RetirementSessionLimit && len(kept) < policy.MaxSessions {
			w.fail("B27: session %s stays away, and there is room", gone.Name)
		}
	}
}

// lastActive goes by what the server itself knows.
func (w *simWorld) lastActive(s *v1alpha1.CoderSession) time.Time {
	server := w.serves(w.deployment(string(s.Spec.DeploymentRef.Name)))
	var used time.Time
	for _, token := range server.live() {
		if uid := string(s.UID); len(token.Name) > 21 && token.Name[13:21] == uid[:8] && token.LastUsed.Unix() > 0 && token.LastUsed.After(used) {
			used = token.LastUsed
		}
	}
	return session.LastActive(s, used, server.server.Now().Sub(w.clock.Now()))
}

// settledWishes: what was asked for is done.
func (w *simWorld) settledWishes() {
	for _, s := range w.sessions() {
		if asked := s.RenewalRequest(); reasonOfSession(s) == v1alpha1.ReasonActive && asked != "" && asked != s.Status.LastHandledRenewAt {
			w.fail("session %s/%s is asked for renewal %s, and has handled %q", s.Namespace, s.Name, asked, s.Status.LastHandledRenewAt)
		}
	}
	for _, name := range w.names {
		if d := w.deployment(name); d.VerificationRequest() != "" && d.VerificationRequest() != d.Status.LastHandledVerifyAt {
			w.fail("deployment %s is asked for verification %s, and has answered %q", name, d.VerificationRequest(), d.Status.LastHandledVerifyAt)
		}
	}
}

// retired lets one session be kept, looks whether that lasts, also over a restart, and lets another one return on request.
// Then retention goes, and all are back.
func (w *simWorld) retired() {
	w.retain(retention(1, ""))
	w.run(simNotice)
	w.settled()
	for _, trial := range []func(){func() { w.steady(time.Hour) }, w.restarted} {
		if len(w.problems) == 0 {
			trial()
		}
	}
	var gone []*v1alpha1.CoderSession
	for _, s := range w.sessions() {
		if reasonOfSession(s) == v1alpha1.ReasonRetired {
			gone = append(gone, s)
		}
	}
	if len(gone) > 0 && len(w.problems) == 0 {
		name := client.ObjectKeyFromObject(pick(w, gone))
		before := w.count.mints
		w.ask(w.api.objects[ref{kindSession, name}].(*v1alpha1.CoderSession))
		w.run(simNotice)
		if s := w.api.objects[ref{kindSession, name}].(*v1alpha1.CoderSession); reasonOfSession(s) != v1alpha1.ReasonActive {
			w.fail("B27: session %s does not return on request: %s", name, encoded(s.Status))
		}
		if minted := w.count.mints - before; minted > 1+w.rotations {
			w.fail("B27: the return of session %s took %d tokens", name, minted)
		}
		w.settled()
	}
	w.retain(nil)
	w.run(simNotice)
	if len(w.problems) == 0 {
		w.settled()
	}
}
