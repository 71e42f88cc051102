// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// noteBinding remembers when the operator gets to know which workspace a session is bound to.
func (w *simWorld) noteBinding(before, after client.Object) {
	is, ok := after.(*v1alpha1.CoderSession)
	if !ok {
		return
	}
	was, _ := before.(*v1alpha1.CoderSession)
	if was == nil || was.UID != is.UID || encoded(was.Spec.Workspace) != encoded(is.Spec.Workspace) {
		w.bound.known[client.ObjectKeyFromObject(is)] = w.clock.Now()
	}
}

// boundSince returns since when both hold: the operator knows that a session is bound to its
// workspace, and the given time. It returns false if the operator does not know it yet.
func (w *simWorld) boundSince(s *v1alpha1.CoderSession, since time.Time) (time.Time, bool) {
	seen, ok := w.operator.cache.objects[refOf(s)].(*v1alpha1.CoderSession)
	if !ok || seen.UID != s.UID || encoded(seen.Spec.Workspace) != encoded(s.Spec.Workspace) {
		return time.Time{}, false
	}
	if known := w.bound.known[client.ObjectKeyFromObject(s)]; known.After(since) {
		return known, true
	}
	return since, true
}

// simOutOfDate is how old the operator's knowledge of a workspace may be when it mints or publishes:
// an interval, and the time that its requests take.
const simOutOfDate = deployment.DefaultInterval + 2*time.Minute

// judgeBound checks that nothing is minted or published for a session whose workspace has not run for
// longer than an interval (B86).
func (w *simWorld) judgeBound(s *v1alpha1.CoderSession, c *simCoder, what string) {
	if s == nil || s.Spec.Workspace == nil {
		return
	}
	r := simWorkspace{c, *s.Spec.Workspace}
	idle, isIdle := w.bound.idle[r]
	if since, known := w.boundSince(s, idle); isIdle && known && w.clock.Now().Sub(since) > simOutOfDate {
		w.fail("B86: %s for session %s/%s, whose workspace %s has not run for %s",
			what, s.Namespace, s.Name, r, w.clock.Now().Sub(since))
	}
}

// sessionOfToken returns the session that a token was minted for; nil: none.
func (w *simWorld) sessionOfToken(name string) *v1alpha1.CoderSession {
	for _, s := range w.sessions() {
		if strings.HasPrefix(name, inventory.Names{Cluster: simCluster}.SessionPrefix(string(s.UID))) {
			return s
		}
	}
	return nil
}

// hinders reports what keeps the operator from doing what a session needs; empty: nothing.
func (w *simWorld) hinders(s *v1alpha1.CoderSession) string {
	d := w.deployment(string(s.Spec.DeploymentRef.Name))
	switch {
	case w.operator.dead || w.noise != simNoise{} || w.isRefusing() || w.clock.Now().Before(w.stalled):
		return "faults"
	case d == nil || d.DeletionTimestamp != nil || w.serves(d).down:
		return "its deployment"
	case s.Spec.Paused || s.DeletionTimestamp != nil:
		return "itself"
	}
	conn := w.operator.parts.Pool.Get(client.ObjectKeyFromObject(d))
	verified, resolved := conn.VerificationStatus(), conn.ResolvedClient()
	if !verified.Result.OK() || resolved == nil || resolved.Snapshot.Fingerprint != verified.Fingerprint ||
		conn.Settling() || verified.DeploymentID != w.serves(d).server.DeploymentID() {
		return "settings"
	}
	return ""
}

// judgeStopped checks that a session whose workspace has stopped long ago has no credential, unless the
// operator was kept from looking (B86).
func (w *simWorld) judgeStopped() {
	now := w.clock.Now()
	for _, s := range w.sessions() {
		name := client.ObjectKeyFromObject(s)
		if s.Spec.Workspace == nil {
			continue
		}
		if w.hinders(s) != "" {
			w.bound.unable[name] = now
			continue
		}
		r := simWorkspace{w.serves(w.deployment(string(s.Spec.DeploymentRef.Name))), *s.Spec.Workspace}
		stopped, isStopped := w.bound.stopped[r]
		since, known := w.boundSince(s, stopped)
		if !isStopped || !known || now.Sub(since) < simPatience || now.Sub(w.bound.unable[name]) < simPatience ||
			now.Sub(w.disturbed) < simPatience {
			continue
		}
		w.happens("the token of a stopped workspace is revoked")
		w.judgeWithdrawn(s, r)
	}
}

// judgeWithdrawn checks that a session has no credential.
func (w *simWorld) judgeWithdrawn(s *v1alpha1.CoderSession, r simWorkspace) {
	if secret := w.secretOf(s); secret != nil && len(secret.Data) > 0 && w.belongs(s) {
		w.fail("B86: workspace %s does not run, and session %s/%s publishes its credential: %s",
			r, s.Namespace, s.Name, encoded(s.Status.Conditions))
	}
	for id, token := range r.server.live() {
		if w.sessionOfToken(token.Name) == s {
			w.fail("B86: workspace %s does not run, and token %s (%s) of session %s/%s is valid: %s",
				r, id, token.Name, s.Namespace, s.Name, encoded(s.Status))
		}
	}
}

// belongs reports whether the Secret of a session's name is the session's.
func (w *simWorld) belongs(s *v1alpha1.CoderSession) bool {
	for _, owner := range w.secretOf(s).OwnerReferences {
		if owner.UID == s.UID {
			return true
		}
	}
	return false
}

// runsNot reports whether a session is bound to a workspace that does not run.
func (w *simWorld) runsNot(s *v1alpha1.CoderSession) (simWorkspace, bool) {
	if s.Spec.Workspace == nil {
		return simWorkspace{}, false
	}
	r := simWorkspace{w.serves(w.deployment(string(s.Spec.DeploymentRef.Name))), *s.Spec.Workspace}
	_, stopped := w.bound.stopped[r]
	return r, stopped
}

// settledStopped checks the final state of a session whose workspace does not run.
func (w *simWorld) settledStopped(s *v1alpha1.CoderSession, r simWorkspace) {
	if reason := reasonOfSession(s); !strings.HasPrefix(reason, "Workspace") || len(s.Status.PendingRevocations) > 0 {
		w.fail("B86: workspace %s does not run, and session %s/%s is %s: %s", r, s.Namespace, s.Name, reason,
			encoded(s.Status))
	}
	w.judgeWithdrawn(s, r)
}

// countWorkspaceCall counts the requests that are about workspaces.
func (w *simWorld) countWorkspaceCall(r *http.Request) {
	switch {
	case opensStream(r):
		w.bound.dials++
	case strings.HasPrefix(r.URL.Path, "/api/v2/users/") && strings.Contains(r.URL.Path, "/workspace/"):
		w.bound.lookups++
	}
}

// watchCalls returns a function that checks how many requests about workspaces were made since: in a
// steady state each session looks once in an interval, and dials, where the server refuses streams, when
// it looks. Where an edge does, each stream is tried again with backoff, by both protocols (B80).
func (w *simWorld) watchCalls() (check func()) {
	lookups, dials, began := w.bound.lookups, w.bound.dials, w.clock.Now()
	return func() {
		looks := int(w.clock.Now().Sub(began)/deployment.DefaultInterval) + 3 // with those of a restart
		most := len(w.boundSessions()) * looks
		if got := w.bound.lookups - lookups; got > most {
			w.fail("B86: in a steady state workspaces are looked up %d times, want %d at most", got, most)
		}
		most *= 2
		if slices.ContainsFunc(w.coders, func(c *simCoder) bool { return c.watch.byEdge && c.watch.status != 0 }) {
			tries := int(w.clock.Now().Sub(began)/(simLongestBackoff*8/10)) + 10
			most += 2 * tries * len(w.operator.streams.streams)
		}
		if got := w.bound.dials - dials; got > most {
			w.fail("B86: in a steady state streams are dialled %d times, want %d at most", got, most)
		}
	}
}

// judgeUnwatched checks that sessions say that there is no stream of their workspace (B92).
func (w *simWorld) judgeUnwatched(r simWorkspace, gone bool) {
	for _, s := range w.boundSessions() {
		bound, _ := w.runsNot(s)
		said := meta.IsStatusConditionFalse(s.Status.Conditions, v1alpha1.ConditionWorkspaceWatched)
		if bound == r && said == gone {
			w.fail("B92: the stream of workspace %s is refused, and session %s says it is: %t", r, s.Name, said)
		}
	}
}

// simPromptly is the time within which a change of a workspace with a stream is noticed.
const simPromptly = 30 * time.Second

// stopsWorkspace checks that a credential ends with its workspace, promptly if there is a stream and
// otherwise within an interval, that nothing happens meanwhile, and that it returns with the workspace
// (B86).
func (w *simWorld) stopsWorkspace() {
	r := simWorkspace{w.serves(w.deployment("prod")), simWorkspaces[0]}
	notice := simPromptly
	if w.rng.IntN(2) == 0 {
		r.server.watch.status, r.server.watch.byEdge, notice = pick(w, []int{403, 404}), w.rng.IntN(2) == 0, simNotice
		w.cutStreams(r.server)
		w.run(simNotice)
	}
	gone := false
	switch w.rng.IntN(4) {
	case 0:
		w.setStatus(r, coderd.WorkspaceFailed)
	case 1:
		w.setDormant(r, true)
	case 2:
		gone = w.removeWorkspace(r)
	default:
		w.setStatus(r, coderd.WorkspaceStopping)
		w.run(time.Minute)
		w.settled() // what is published stays meanwhile
		w.setStatus(r, coderd.WorkspaceStopped)
	}
	w.run(notice)
	if notice > simPromptly {
		w.happens("a workspace is noticed without a stream")
		w.judgeUnwatched(r, gone)
	}
	w.settled()
	w.steady(30 * time.Minute)
	mints := w.count.mints - w.count.renewals
	if gone {
		w.createWorkspace(r) // another one, whose stream is not known yet
		notice = simNotice
	}
	w.setDormant(r, false)
	w.setStatus(r, coderd.WorkspaceRunning)
	w.run(notice)
	w.settled()
	want := 0
	for _, s := range w.boundSessions() {
		if s.Spec.Auth.Mint != nil && s.Spec.DeploymentRef.Name == "prod" {
			want++
		}
	}
	if got := w.count.mints - w.count.renewals - mints; got < want && len(w.problems) == 0 {
		w.fail("B86: %d tokens were minted when workspace %s started, want %d", got, r, want)
	}
	r.server.watch.status = 0
	w.run(2 * simNotice)
	w.settled()
}
