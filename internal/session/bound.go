// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// WorkspaceBinding is what is known of the workspace that a session is bound to. The zero value is a session without one.
type WorkspaceBinding struct {
	// Wanted says that the session is bound.
	Wanted bool
	// At is when the server was asked; zero: not yet.
	At time.Time
	// Stale says that the workspace may have changed since: its stream told something, or was away.
	Stale bool
	// Missing says that there is no such workspace, or that the operator may not see it.
	Missing bool
	// Running says that it runs; Changing that it is on the way there or from there.
	Running, Changing bool
	// Unwatched says why no stream tells of the workspace. Empty: one does, or will.
	Unwatched string
	// Status for people, such as "stopped" or "dormant".
	Status string
}

// workspaceNotRunning lets a session have a credential only while its workspace runs. While that starts or stops all stays as it is.
func workspaceNotRunning(o Observation) (Plan, bool) {
	b := o.Workspace
	if !b.Wanted || !o.usable() {
		return Plan{}, false
	}
	workspace := o.Session.Spec.Workspace
	switch {
	case b.At.IsZero(), b.Stale, !o.Now.Before(b.At.Add(o.Deployment.interval())):
		return Plan{Action: FindWorkspace}, true
	case b.Missing:
		return revokeEverything(o, v1alpha1.ReasonWorkspaceStopped, fmt.Sprintf(
			"the server knows no workspace %q of user %q, or the operator may not see it; once it runs the credential comes back by itself", workspace.Name, workspace.Owner)), true
	case b.Running, b.Changing && o.Secret.Exists:
		return Plan{}, false
	}
	return revokeEverything(o, v1alpha1.ReasonWorkspaceStopped, fmt.Sprintf(
		"workspace %s/%s is %s; once it runs the credential comes back by itself", workspace.Owner, workspace.Name, b.Status)), true
}

// lookAgain sees to it that a workspace whose stream has missed something is looked at once in an interval. Where that is
// over, something else has had its say before anybody looked, and an event ends it.
func lookAgain(o Observation, p *Plan) {
	due := o.Workspace.At.Add(o.Deployment.interval())
	if o.Workspace.Wanted && o.usable() && !o.Workspace.At.IsZero() && p.Action == Nothing && o.Now.Before(due) {
		p.wakeAt(due)
	}
}

// sayWatched says whether changes of the workspace are told at once (B92).
func sayWatched(o Observation, p *Plan) {
	b := o.Workspace
	switch {
	case !b.Wanted || b.At.IsZero() || b.Missing:
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionWorkspaceWatched)
	case b.Unwatched != "":
		p.set(v1alpha1.ConditionWorkspaceWatched, metav1.ConditionFalse, v1alpha1.ReasonStreamRefused, fmt.Sprintf(
			"the server refuses a stream of the workspace's changes, so that they are noticed within %s only: %s", o.Deployment.interval(), b.Unwatched))
	default:
		p.set(v1alpha1.ConditionWorkspaceWatched, metav1.ConditionTrue, v1alpha1.ReasonWatched, "changes of the workspace are told at once")
	}
}
