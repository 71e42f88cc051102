// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// simWorkspaces are the workspaces that sessions may be bound to. Each server has its own.
var simWorkspaces = []v1alpha1.WorkspaceRef{
	{Owner: "bot-1", Name: "dev"}, {Owner: "bot-2", Name: "box"}, {Owner: "ada", Name: "spare"},
}

// simBindings are the workspaces of the sessions that are bound to one.
var simBindings = map[string]v1alpha1.WorkspaceRef{
	"coder/dev": simWorkspaces[0], "coder/ide": simWorkspaces[0], "coder/box": simWorkspaces[1],
}

// simBound is what is known of the workspaces of a server, and of the sessions that are bound to them.
type simBound struct {
	// stopped is since when a workspace does not run and is not about to; idle is since when it does
	// not run. Both are by the monotonic clock, as an operator's memory is.
	stopped, idle map[simWorkspace]time.Time
	// known is when the operator got to know which workspace a session is bound to; unable is when it
	// was last kept from doing what a session needs.
	known, unable map[types.NamespacedName]time.Time
	// lookups and dials count requests, by the workspace that they are about, or its id.
	lookups, dials int
}

// simWorkspace names a workspace of a server.
type simWorkspace struct {
	server *simCoder
	ref    v1alpha1.WorkspaceRef
}

func (r simWorkspace) String() string { return r.server.http.URL + " " + ownedBy(r.ref) }

func ownedBy(ref v1alpha1.WorkspaceRef) string { return ref.Owner + "/" + ref.Name }

func newSimBound() simBound {
	return simBound{
		stopped: map[simWorkspace]time.Time{}, idle: map[simWorkspace]time.Time{},
		known: map[types.NamespacedName]time.Time{}, unable: map[types.NamespacedName]time.Time{},
	}
}

// newStreams returns the streams of an operator's process.
func (p *simOperator) newStreams(o stream.Options) controllers.Streams {
	w := p.w
	p.streams = newSimStreams(o, w.clock)
	p.streams.lag = func() time.Duration { return w.jitter(simLag) }
	p.streams.trace, p.streams.answered = w.tracef, w.sync
	p.streams.state = func(origin, id string) (coder.Workspace, bool) {
		i := slices.IndexFunc(w.coders, func(c *simCoder) bool { return c.http.URL == origin })
		return w.coders[i].watch.read(id, w.coders[i].reader)
	}
	return p.streams
}

var workspaceEvents = []string{
	"a workspace stops", "a workspace starts", "a workspace fails", "a workspace becomes dormant",
	"a workspace is deleted", "a workspace is created again", "a stream is cut", "a stream ends normally",
	"a stream is rejected", "a stream is refused for good", "a server has no WebSockets",
	"a session is bound to another workspace", "a session is unbound", "the token of a stopped workspace is revoked",
	"a workspace is noticed without a stream",
}

var workspaceChanges = []func(*simWorld){
	(*simWorld).stopWorkspace, (*simWorld).stopWorkspace, (*simWorld).startWorkspace, (*simWorld).startWorkspace,
	(*simWorld).startWorkspace, (*simWorld).failWorkspace, (*simWorld).makeDormant, (*simWorld).deleteWorkspace,
	(*simWorld).createWorkspaces, (*simWorld).createWorkspaces, (*simWorld).endStreams, (*simWorld).endStreams,
	(*simWorld).refuseStreams, (*simWorld).switchWebSockets, (*simWorld).bindAgain, (*simWorld).bindAgain,
}

// createReaders creates the users as whom the simulation itself reads workspaces.
func (w *simWorld) createReaders() {
	for _, c := range w.coders {
		w.must(c.server.CreateUser(coderd.UserOptions{Username: "reader", Roles: []string{coderd.RoleOwner}}))
		c.reader = c.issueFor("reader", "reader", 10000*time.Hour)
		for _, ref := range simWorkspaces[:2] {
			w.must(c.server.CreateWorkspace(coderd.WorkspaceOptions{Owner: ref.Owner, Name: ref.Name}))
		}
		w.noteWorkspaces(c)
	}
}

// find returns a workspace of a server that is not deleted.
func (r simWorkspace) find() (coderd.Workspace, bool) {
	all := r.server.server.Workspaces()
	i := slices.IndexFunc(all, func(ws coderd.Workspace) bool {
		return !ws.Deleted && ws.OwnerName == r.ref.Owner && ws.Name == r.ref.Name
	})
	if i < 0 {
		return coderd.Workspace{}, false
	}
	return all[i], true
}

// noteWorkspaces remembers since when the workspaces of a server do not run.
func (w *simWorld) noteWorkspaces(c *simCoder) {
	for _, ref := range simWorkspaces {
		r := simWorkspace{c, ref}
		ws, found := r.find()
		running := found && ws.Status == coderd.WorkspaceRunning && !ws.Dormant
		changing := found && !ws.Dormant && slices.Contains([]coderd.WorkspaceStatus{
			coderd.WorkspacePending, coderd.WorkspaceStarting, coderd.WorkspaceStopping, coderd.WorkspaceCanceling,
		}, ws.Status)
		w.noteSince(w.bound.idle, r, !running)
		w.noteSince(w.bound.stopped, r, !running && !changing)
	}
}

func (w *simWorld) noteSince(times map[simWorkspace]time.Time, r simWorkspace, holds bool) {
	_, noted := times[r]
	switch {
	case !holds:
		delete(times, r)
	case !noted:
		times[r] = w.clock.Now()
	}
}

// changeWorkspace changes a workspace, if it exists, and sends what it is then to its streams.
func (w *simWorld) changeWorkspace(r simWorkspace, what string, change func(ref string) error) bool {
	ws, found := r.find()
	if !found {
		return false
	}
	w.tracef("* workspace %s: %s", r, what)
	w.must(nil, change(ownedBy(r.ref)))
	w.noteWorkspaces(r.server)
	if state, read := r.server.watch.read(ws.ID, r.server.reader); read {
		w.operator.streams.publish(r.server.http.URL, state)
	}
	return true
}

func (w *simWorld) setStatus(r simWorkspace, status coderd.WorkspaceStatus) bool {
	return w.changeWorkspace(r, string(status), func(ref string) error {
		return r.server.server.SetWorkspaceStatus(ref, status)
	})
}

// build makes a build of a workspace, which takes a while.
func (w *simWorld) build(r simWorkspace, underway, done coderd.WorkspaceStatus) bool {
	if !w.setStatus(r, underway) {
		return false
	}
	w.at(w.jitter(time.Minute), func() {
		if ws, found := r.find(); found && ws.Status == underway {
			w.setStatus(r, done)
		}
	})
	return true
}

func (w *simWorld) anyWorkspace() simWorkspace {
	return simWorkspace{pick(w, w.coders), pick(w, simWorkspaces)}
}

func (w *simWorld) stopWorkspace() {
	if w.build(w.anyWorkspace(), coderd.WorkspaceStopping, coderd.WorkspaceStopped) {
		w.happens("a workspace stops")
	}
}

func (w *simWorld) startWorkspace() {
	r := w.anyWorkspace()
	if ws, found := r.find(); found && ws.Dormant {
		w.setDormant(r, false)
	}
	if w.build(r, coderd.WorkspaceStarting, coderd.WorkspaceRunning) {
		w.happens("a workspace starts")
	}
}

func (w *simWorld) failWorkspace() {
	if w.setStatus(w.anyWorkspace(), coderd.WorkspaceFailed) {
		w.happens("a workspace fails")
	}
}

func (w *simWorld) makeDormant() {
	if w.setDormant(w.anyWorkspace(), true) {
		w.happens("a workspace becomes dormant")
	}
}

func (w *simWorld) setDormant(r simWorkspace, dormant bool) bool {
	return w.changeWorkspace(r, "dormancy", func(ref string) error { return r.server.server.SetDormant(ref, dormant) })
}

func (w *simWorld) deleteWorkspace() {
	if w.removeWorkspace(w.anyWorkspace()) {
		w.happens("a workspace is deleted")
	}
}

func (w *simWorld) removeWorkspace(r simWorkspace) bool {
	return w.changeWorkspace(r, "deletion", r.server.server.DeleteWorkspace)
}

// createWorkspaces creates the workspaces that do not exist.
func (w *simWorld) createWorkspaces() {
	for _, c := range w.coders {
		for _, ref := range simWorkspaces {
			w.createWorkspace(simWorkspace{c, ref})
		}
	}
}

func (w *simWorld) createWorkspace(r simWorkspace) {
	if _, found := r.find(); found {
		return
	}
	w.tracef("* workspace %s is created", r)
	if slices.ContainsFunc(r.server.server.Workspaces(), func(ws coderd.Workspace) bool {
		return ws.OwnerName == r.ref.Owner && ws.Name == r.ref.Name
	}) {
		w.happens("a workspace is created again")
	}
	w.must(r.server.server.CreateWorkspace(coderd.WorkspaceOptions{Owner: r.ref.Owner, Name: r.ref.Name}))
	w.noteWorkspaces(r.server)
}

// endStreams ends the connections to a server.
func (w *simWorld) endStreams() {
	c, code := pick(w, w.coders), pick(w, []int{endCut, endCut, endNormal, endRejected})
	w.tracef("* streams of %s end with code %d", c.http.URL, code)
	what := map[int]string{
		endCut: "a stream is cut", endNormal: "a stream ends normally", endRejected: "a stream is rejected",
	}[code]
	if w.operator.streams.end(c.http.URL, code) > 0 {
		w.happens(what)
	}
}

// cutStreams breaks the connections to a server.
func (w *simWorld) cutStreams(c *simCoder) { w.operator.streams.end(c.http.URL, endCut) }

// refuseStreams makes a server, or what stands before it, refuse streams, or ends that.
func (w *simWorld) refuseStreams() {
	c := pick(w, w.coders)
	if c.watch.status != 0 {
		c.watch.status = 0
		return
	}
	c.watch.status, c.watch.byEdge = pick(w, []int{403, 404, 503}), w.rng.IntN(2) == 0
	w.tracef("* streams of %s are refused: %d, by the edge: %t", c.http.URL, c.watch.status, c.watch.byEdge)
	w.cutStreams(c)
	if c.watch.status != 503 && !c.watch.byEdge {
		w.happens("a stream is refused for good")
	}
}

func (w *simWorld) switchWebSockets() {
	c := pick(w, w.coders)
	c.watch.eventsOnly = !c.watch.eventsOnly
	w.tracef("* server %s has no WebSockets: %t", c.http.URL, c.watch.eventsOnly)
	w.cutStreams(c)
	if c.watch.eventsOnly {
		w.happens("a server has no WebSockets")
	}
}

// bindAgain binds a session to another workspace, or to none.
func (w *simWorld) bindAgain() {
	bound := w.boundSessions()
	if len(bound) == 0 {
		return
	}
	s, ref := pick(w, bound), pick(w, simWorkspaces)
	if w.rng.IntN(3) == 0 {
		w.happens("a session is unbound")
		w.bind(s, nil)
		return
	}
	w.happens("a session is bound to another workspace")
	w.bind(s, &ref)
}

func (w *simWorld) bind(s *v1alpha1.CoderSession, ref *v1alpha1.WorkspaceRef) {
	w.tracef("* session %s is bound to %v", s.Name, ref)
	_ = edit(w, refOf(s), func(s *v1alpha1.CoderSession) { s.Spec.Workspace = ref })
}

// boundSessions lists the sessions that are usually bound to a workspace.
func (w *simWorld) boundSessions() (found []*v1alpha1.CoderSession) {
	for _, s := range w.sessions() {
		if _, usually := simBindings[client.ObjectKeyFromObject(s).String()]; usually {
			found = append(found, s)
		}
	}
	return found
}

// healWorkspaces starts all workspaces and binds sessions as they were at the beginning.
func (w *simWorld) healWorkspaces() {
	if !w.features.workspaces {
		return
	}
	w.createWorkspaces()
	for _, c := range w.coders {
		c.watch.status = 0
		for _, ref := range simWorkspaces {
			w.setDormant(simWorkspace{c, ref}, false)
			w.setStatus(simWorkspace{c, ref}, coderd.WorkspaceRunning)
		}
	}
	for _, s := range w.boundSessions() {
		ref := simBindings[client.ObjectKeyFromObject(s).String()]
		w.bind(s, &ref)
	}
}
