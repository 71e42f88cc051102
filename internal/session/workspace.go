// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// WorkspaceBinding is what is known about the workspace that a session is bound to. The zero value
// is a session that is bound to none.
type WorkspaceBinding struct {
	// Wanted is true if the session is bound to a workspace.
	Wanted bool
	// Watched is true if the session needs the workspace now, so that its stream stays open.
	Watched bool
	// Time is when the server was last asked about the workspace; zero: not yet.
	Time time.Time
	// Stale is true if the workspace may have changed since Time: its stream reported a change or
	// was interrupted.
	Stale bool
	// Missing is true if the workspace does not exist or the operator may not see it.
	Missing bool
	// Running is true while the workspace runs, Changing while it starts or stops.
	Running, Changing bool
	// Unwatched is why no stream reports changes of the workspace. Empty: a stream does, or will.
	Unwatched string
	// Status is the workspace's state for people, such as "stopped" or "dormant".
	Status string
}

// workspaceNotRunning revokes the credential of a session whose workspace does not run. While the
// workspace starts or stops, a published credential stays.
func workspaceNotRunning(o Observation) (Plan, bool) {
	b := o.Workspace
	if !b.Wanted || !o.canCallServer() {
		return Plan{}, false
	}
	workspace := o.Session.Spec.Workspace
	switch {
	case o.Deployment.OwnWorkspaceOnly && !o.isWorkspaceOwner():
		return Plan{}, false // see requireWorkspaceOwner
	case b.Time.IsZero(), b.Stale, !o.Now.Before(b.Time.Add(o.Deployment.VerifyInterval())):
		return Plan{Action: FindWorkspace}, true
	case b.Missing:
		return revokeEverything(o, v1alpha1.ReasonWorkspaceUnknown, fmt.Sprintf(
			"the server has no workspace %q of user %q, or the operator may not see it: "+
				"create the workspace, or correct spec.workspace", workspace.Name, workspace.Owner)), true
	case b.Running, b.Changing && o.Secret.Exists:
		return Plan{}, false
	}
	return revokeEverything(o, v1alpha1.ReasonWorkspaceStopped, fmt.Sprintf(
		"workspace %s/%s is %s: the session gets a credential as soon as the workspace runs",
		workspace.Owner, workspace.Name, b.Status)), true
}

// requireWorkspaceOwner replaces a plan that would publish a credential, or keep it, although the access
// rules let the session be bound to a workspace of its own user only, and that is another user or is not
// known (B139). Until then the workspace is not looked up, so that the session does not tell its state.
func requireWorkspaceOwner(o Observation, p Plan) Plan {
	w := o.Session.Spec.Workspace
	if w == nil || !o.Deployment.OwnWorkspaceOnly || o.isWorkspaceOwner() || p.Action != Publish && !p.isActive() {
		return p
	}
	return revokeEverything(o, v1alpha1.ReasonAccessDenied, fmt.Sprintf(
		"only a session whose credential is of user %q may be bound to workspace %s/%s, and the server does not say "+
			"that of this one: use a credential of that user that may read its user, or remove spec.workspace",
		w.Owner, w.Owner, w.Name))
}

// isWorkspaceOwner reports whether the server has named the owner of the workspace as the user of the
// session's credential.
func (o Observation) isWorkspaceOwner() bool {
	user := o.namedUser()
	return user != nil && strings.EqualFold(user.Username, o.Session.Spec.Workspace.Owner)
}

// namedUser is the user whom the server has named for the current credential, and before it was asked
// the one in status. Nil: it is not known.
func (o Observation) namedUser() *v1alpha1.SessionUser {
	check, d := o.CredentialCheck, o.Deployment
	credential, held := o.method().credential(o)
	switch {
	case held && check.Result.OK() && !check.Time.IsZero() && check.Credential == credential:
		return check.User
	case held && credential == "" && !d.OwnToken && d.User != nil:
		return d.User // the connection identifies the session and the operator
	}
	return o.Session.Status.User
}

// requeueForWorkspace makes sure that the workspace is looked up again one verification interval
// after the last lookup, in case its stream missed a change. If that time has passed already,
// another policy decided before workspaceNotRunning, and an event ends that state.
func requeueForWorkspace(o Observation, p *Plan) {
	due := o.Workspace.Time.Add(o.Deployment.VerifyInterval())
	known := o.Workspace.Wanted && !o.Workspace.Time.IsZero()
	if known && o.canCallServer() && p.Action == Nothing && o.Now.Before(due) {
		p.requeueBy(due)
	}
}

// setWorkspaceWatchedCondition sets WorkspaceWatched: whether changes of the workspace are noticed
// at once (B92).
func setWorkspaceWatchedCondition(o Observation, p *Plan) {
	b := o.Workspace
	switch {
	case !b.Wanted || b.Time.IsZero() || b.Missing:
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionWorkspaceWatched)
	case b.Unwatched != "":
		p.setCondition(v1alpha1.ConditionWorkspaceWatched, metav1.ConditionFalse, v1alpha1.ReasonStreamRefused,
			fmt.Sprintf("the server refuses to stream the workspace's changes (%s), so they are noticed within %s: "+
				"let WebSockets through the proxies on the way", b.Unwatched, o.Deployment.VerifyInterval()))
	default:
		p.setCondition(v1alpha1.ConditionWorkspaceWatched, metav1.ConditionTrue, v1alpha1.ReasonWatched,
			"changes of the workspace are noticed at once")
	}
}
