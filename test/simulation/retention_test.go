// SPDX-License-Identifier: Apache-2.0

package simulation

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

// retainsSessions returns true for half of the seeds: deployment prod then retires sessions,
// and users request renewals and verifications. It uses its own random source and is false for
// the seeds in regressions, so that their schedules stay the same.
func retainsSessions(seed uint64) bool { return rand.New(rand.NewPCG(seed, 0x2d5)).IntN(2) == 0 }

// simRetentions are the retention settings of deployment prod.
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

// wishes are the additional events where sessions are retired.
var wishes = []func(*simWorld){
	(*simWorld).useToken, (*simWorld).useToken, (*simWorld).useToken,
	(*simWorld).askForRenewal, (*simWorld).askForRenewal,
	(*simWorld).askForVerification, (*simWorld).changeRetention,
}

// possible returns the random events of this simulation.
func (w *simWorld) possible(always []func(*simWorld)) []func(*simWorld) {
	if w.retains {
		always = slices.Concat(always, wishes)
	}
	return slices.Concat(always, w.features.events())
}

// useToken makes a request with a session's token.
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

// askForRenewal requests a new credential for a session.
func (w *simWorld) askForRenewal() {
	if sessions := w.sessions(); len(sessions) > 0 {
		w.ask(pick(w, sessions))
	}
}

func (w *simWorld) ask(s *v1alpha1.CoderSession) {
	w.wishes++
	w.tracef("* session %s: renewal %d is requested", s.Name, w.wishes)
	_ = edit(w, refOf(s), func(s *v1alpha1.CoderSession) {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationRenewRequestedAt, fmt.Sprint(w.wishes))
	})
}

func (w *simWorld) askForVerification() {
	w.wishes++
	w.tracef("* verification %d is requested", w.wishes)
	name := pick(w, []string{"prod", "gate"})
	_ = edit(w, ref{kindDeployment, key("coder", name)}, func(d *v1alpha1.CoderDeployment) {
		metav1.SetMetaDataAnnotation(&d.ObjectMeta, v1alpha1.AnnotationVerifyRequestedAt, fmt.Sprint(w.wishes))
	})
}

func (w *simWorld) changeRetention() { w.retain(pick(w, simRetentions)) }

func (w *simWorld) retain(r *v1alpha1.Retention) {
	w.tracef("* retention becomes %s", encoded(r))
	_ = edit(w, ref{kindDeployment, key("coder", "prod")}, func(d *v1alpha1.CoderDeployment) {
		d.Spec.Retention = r.DeepCopy()
	})
}

// retaining reports whether sessions may be retired now.
func (w *simWorld) retaining() bool {
	d := w.deployment("prod")
	return d != nil && d.Spec.Retention != nil
}

// judgeRetirement counts retirements and checks that the status is consistent (B27).
func (w *simWorld) judgeRetirement(before, after *v1alpha1.CoderSession) {
	was, is := before.Status.Retirement, after.Status.Retirement
	reason := reasonOfSession(after)
	switch {
	case is != nil && reason == v1alpha1.ReasonActive:
		w.fail("B27: session %s/%s is Active and retired", after.Namespace, after.Name)
	case is == nil && reason == v1alpha1.ReasonRetired && !endsWithoutRetirement(before):
		w.fail("B27: session %s/%s is Retired without a reason in its status", after.Namespace, after.Name)
	case is != nil && was == nil:
		w.count.retirements++
	case is == nil && was != nil:
		w.count.returns++
	}
}

// endsWithoutRetirement reports whether a session that is above the limit may lose its token without being retired:
// it asks for something that is not done yet, or for no minted token (B136).
func endsWithoutRetirement(s *v1alpha1.CoderSession) bool {
	return session.Asking(s) || s.Spec.Auth.Mint == nil || s.Spec.PerPod != nil
}

// judgeRemoval checks that the Secret of a retired session is deleted only after the status
// shows the retirement (B27).
func (w *simWorld) judgeRemoval(before *corev1.Secret) {
	s, ok := w.api.objects[ref{kindSession, client.ObjectKeyFromObject(before)}].(*v1alpha1.CoderSession)
	mayGo := ok && (s.Namespace != "coder" || s.Spec.Workspace != nil)
	if !ok || mayGo || s.DeletionTimestamp != nil || s.Status.Retirement != nil || endsWithoutRetirement(s) {
		return // it may be deleted because of access rules, or because the workspace is stopped
	}
	decision := w.operator.parts.Retention.Of(s.DeploymentKey(), s.UID)
	if decision.Reason != "" && reasonOfSession(s) == v1alpha1.ReasonActive {
		w.fail("B27: the Secret of session %s/%s is deleted before its status is Retired", s.Namespace, s.Name)
	}
}

// settledRetired checks that a retired session has no Secret and no token, and no pending
// request to return.
func (w *simWorld) settledRetired(s *v1alpha1.CoderSession) {
	name := client.ObjectKeyFromObject(s).String()
	switch {
	case s.Status.Retirement == nil || s.Spec.Auth.Mint == nil || !w.retaining():
		w.fail("B27: session %s is Retired for no reason: %s", name, encoded(s.Status))
	case w.secretOf(s) != nil || s.Status.Token != nil:
		w.fail("B27: session %s is Retired and has a Secret or token", name)
	case session.Asking(s):
		w.fail("B27: session %s is Retired although its renewal is requested: %s", name, encoded(s))
	}
}

// settledRetention checks that as many sessions are kept as allowed, and that they are the most
// recently used ones (B27, B28).
func (w *simWorld) settledRetention() {
	const slack = 15 * time.Minute // for the age of the inventory, and for clock skew
	d := w.deployment("prod")
	policy := deployment.PolicyOf(&d.Spec)
	var kept, retired []*v1alpha1.CoderSession
	for _, s := range w.sessions() {
		switch {
		case s.Spec.Auth.Mint == nil || s.Spec.DeploymentRef.Name != "prod":
		case reasonOfSession(s) == v1alpha1.ReasonAccessDenied: // it takes no place
		case reasonOfSession(s) == v1alpha1.ReasonRetired:
			retired = append(retired, s)
		default:
			kept = append(kept, s)
		}
	}
	if most := policy.MaxSessions; most > 0 && len(kept) > most {
		w.fail("B27: %d sessions are kept, %d may be", len(kept), most)
	}
	idle := func(s *v1alpha1.CoderSession) time.Duration { // time beyond the limit
		if policy.IdleTimeout == 0 {
			return -time.Hour
		}
		return w.wall().Sub(w.lastActive(s)) - policy.IdleTimeout - time.Hour
	}
	for _, s := range kept {
		if idle(s) > slack {
			w.fail("B28: session %s is idle for %s longer than it may be", s.Name, idle(s))
		}
	}
	for _, gone := range retired {
		why := gone.Status.Retirement
		limited := why.Reason == v1alpha1.RetirementSessionLimit
		if why.Reason == v1alpha1.RetirementIdle && idle(gone) < -slack || limited && policy.MaxSessions == 0 {
			w.fail("B28: session %s stays retired for no reason: %s", gone.Name, encoded(why))
		}
		for _, s := range kept {
			// Sessions of another access rule may have been there first (B136).
			sameRule := s.Namespace == gone.Namespace
			if limited && sameRule && w.lastActive(s).Add(slack).Before(why.LastActiveTime.Time) {
				w.fail("B27: session %s is kept, active at %s, and %s is not, active at %s",
					s.Name, w.lastActive(s), gone.Name, why.LastActiveTime)
			}
		}
		if limited && len(kept) < policy.MaxSessions {
			w.fail("B27: session %s stays retired although the limit is not reached", gone.Name)
		}
	}
}

// lastActive returns the time of the last activity according to the server.
func (w *simWorld) lastActive(s *v1alpha1.CoderSession) time.Time {
	server := w.serves(w.deployment(string(s.Spec.DeploymentRef.Name)))
	var used time.Time
	for _, token := range server.live() {
		own := len(token.Name) > 21 && token.Name[13:21] == string(s.UID)[:8]
		if own && token.LastUsed.Unix() > 0 && token.LastUsed.After(used) {
			used = token.LastUsed
		}
	}
	return session.LastActive(s, used, server.server.Now().Sub(w.wall()))
}

// settledWishes checks that all requests for renewals and verifications have been handled.
func (w *simWorld) settledWishes() {
	for _, s := range w.sessions() {
		asked, handled := s.RenewalRequest(), s.Status.LastHandledRenewAt
		if reasonOfSession(s) == v1alpha1.ReasonActive && asked != "" && asked != handled {
			w.fail("session %s/%s: renewal %s is requested, %q was handled", s.Namespace, s.Name, asked, handled)
		}
	}
	for _, name := range w.names {
		d := w.deployment(name)
		asked, handled := d.VerificationRequest(), d.Status.LastHandledVerifyAt
		if asked != "" && asked != handled {
			w.fail("deployment %s: verification %s is requested, %q was handled", name, asked, handled)
		}
	}
}

// uses reports whether a session is one of the deployment.
func (w *simWorld) uses(s *v1alpha1.CoderSession, deployment string) bool {
	return s.DeploymentKey() == key("coder", deployment)
}

// retired limits deployment prod to one session, checks that this state is steady, also after
// a restart, and lets another session return on request. Then it removes the limit, and all
// sessions must return.
func (w *simWorld) retired() {
	w.retain(retention(1, ""))
	w.run(simNotice)
	w.settled()
	for _, trial := range []func(){func() { w.steady(time.Hour) }, w.restarted} {
		if len(w.problems) == 0 {
			trial()
		}
	}
	// A request takes the place of another session of the same access rule only (B136).
	places := map[string]bool{}
	for _, s := range w.sessions() {
		if s.Spec.Auth.Mint != nil && reasonOfSession(s) == v1alpha1.ReasonActive && w.uses(s, "prod") {
			places[s.Namespace] = true
		}
	}
	var gone []*v1alpha1.CoderSession
	for _, s := range w.sessions() {
		if reasonOfSession(s) == v1alpha1.ReasonRetired && places[s.Namespace] {
			gone = append(gone, s)
		}
	}
	if len(gone) > 0 && len(w.problems) == 0 {
		name := client.ObjectKeyFromObject(pick(w, gone))
		before := w.count.mints
		w.ask(w.api.objects[ref{kindSession, name}].(*v1alpha1.CoderSession))
		w.run(simNotice)
		s := w.api.objects[ref{kindSession, name}].(*v1alpha1.CoderSession)
		if reasonOfSession(s) != v1alpha1.ReasonActive {
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
