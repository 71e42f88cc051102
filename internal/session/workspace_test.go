// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// boundTo binds the session to a workspace that was looked up a minute ago.
func boundTo(change func(*WorkspaceBinding)) option {
	return func(o *Observation) {
		o.Session.Spec.Workspace = &v1alpha1.WorkspaceRef{Owner: "ada", Name: "dev"}
		o.Workspace = WorkspaceBinding{Wanted: true, Time: noon.Add(-time.Minute), Status: "running", Running: true}
		if change != nil {
			change(&o.Workspace)
		}
	}
}

// B139: a workspace of which only its owner may know is not looked up before the server has named the
// owner as the user of the credential, and nothing is published before that.
func TestWorkspaceOfItsOwnUserOnly(t *testing.T) {
	t.Parallel()
	own := func(user string, options ...option) Observation {
		checked := func(o *Observation) {
			o.CredentialCheck.User = nil
			if user != "" {
				o.CredentialCheck.User = &v1alpha1.SessionUser{ID: "id-" + user, Username: user}
			}
		}
		unknown := boundTo(func(b *WorkspaceBinding) { b.Time = time.Time{} })
		ownOnly := withDeployment(func(d *Deployment) { d.OwnWorkspaceOnly = true })
		return newSession("ci", append([]option{withToken(), unknown, ownOnly, checkedAs(value, time.Second, accepted),
			checked}, options...)...)
	}
	asCertificate := func(o *Observation) { o.CredentialCheck = CredentialCheck{} }
	connection := withDeployment(func(d *Deployment) { d.OwnToken, d.ByConnection = false, true })
	withheld := outcome{
		RevokeAll: true, Ready: "False AccessDenied", Authenticated: "absent", Synced: "absent", Cut: "absent",
	}
	checkRows(t, map[string]row{
		"first the user": {own("", func(o *Observation) { o.CredentialCheck = CredentialCheck{} }),
			outcome{Do: CheckCredential}},
		"the owner, whatever the case": {own("Ada"), outcome{Do: FindWorkspace}},
		"another user":                 {own("bob"), withheld},
		"a user who is not named":      {own(""), withheld},
		"another user, with a Secret":  {own("bob", publishedSupplied(value)), outcome{Do: DeleteSecret}},
		"a former credential was the owner's": {
			own("bob", withRecordedUser("id-ada", "ada")), withheld,
		},
		"the next credential of the owner": {
			own("ada", checkedAs("hmac-sha256:former", time.Second, accepted), withRecordedUser("id-bob", "bob")),
			outcome{Do: CheckCredential},
		},
		"the owner of what is published, before the server was asked again": {
			own("", withRecordedUser("id-ada", "ada"), func(o *Observation) { o.CredentialCheck = CredentialCheck{} }),
			outcome{Do: FindWorkspace},
		},
		"the connection's user, who is another one": {
			own("", withCertificate(), asCertificate, connection), withheld,
		},
	})
}

func TestWorkspaceBinding(t *testing.T) {
	t.Parallel()
	fresh := func(change func(*WorkspaceBinding), options ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), boundTo(change)}, options...)...)
	}
	with := func(change func(*WorkspaceBinding), options ...option) Observation {
		return newSession(
			"ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, time.Hour), boundTo(change)}, options...)...,
		)
	}
	stopped := func(b *WorkspaceBinding) { b.Running, b.Status = false, "stopped" }
	changing := func(b *WorkspaceBinding) { b.Running, b.Changing, b.Status = false, true, "starting" }
	stoppedOutcome := outcome{
		RevokeAll: true, Ready: "False WorkspaceStopped", Authenticated: "absent", Synced: "absent", Cut: "absent",
		Wake: 4 * time.Minute,
	}
	unknownOutcome := stoppedOutcome
	unknownOutcome.Ready = "False WorkspaceUnknown"
	checkRows(t, map[string]row{
		"it is looked up first": {
			fresh(func(b *WorkspaceBinding) { b.Time = time.Time{} }), outcome{Do: FindWorkspace},
		},
		"and once in an interval": {
			with(func(b *WorkspaceBinding) { b.Time = noon.Add(-interval) }), outcome{Do: FindWorkspace},
		},
		"and when its stream reports a change": {
			with(func(b *WorkspaceBinding) { b.Stale = true }), outcome{Do: FindWorkspace},
		},
		"it runs: a token is minted":       {fresh(nil), outcome{Do: LookUpUser}},
		"it runs: all is well":             {with(nil), activeOutcome(4 * time.Minute)},
		"it is stopped: nothing is minted": {fresh(stopped), stoppedOutcome},
		"it is stopped: the Secret goes":   {with(stopped), outcome{Do: DeleteSecret}},
		"it is stopped: then the token": {
			fresh(stopped, withPendingRevocation("t4", 0)), outcome{Do: Revoke, Revoke: []string{"t4"}},
		},
		"it is missing: the Secret goes": {
			with(func(b *WorkspaceBinding) { b.Missing = true }), outcome{Do: DeleteSecret},
		},
		"it is missing: it may be a mistake": {
			fresh(func(b *WorkspaceBinding) { b.Missing = true }), unknownOutcome,
		},
		"it is missing: a grant stays": {
			newSession("ci", withOAuth(), withHeldGrant(0), boundTo(func(b *WorkspaceBinding) { b.Missing = true })),
			unknownOutcome,
		},
		"it starts: nothing is minted yet":       {fresh(changing), stoppedOutcome},
		"it stops: the token stays until it has": {with(changing), activeOutcome(4 * time.Minute)},
		"the deployment is unreachable: all stays": {
			with(stopped, withOutage()),
			outcome{Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "absent", Wake: interval},
		},
		"B08 settling: nothing is looked up": {
			with(func(b *WorkspaceBinding) { b.Stale = true }, withDeployment(func(d *Deployment) { d.Settling = true })),
			outcome{Keep: true, Wake: time.Second},
		},
		"the server cannot be asked: all stays": {
			with(func(b *WorkspaceBinding) { b.Stale = true }, failedTo(FindWorkspace, failure.Transient, "")),
			outcome{
				Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "absent",
				Wake: 4 * time.Minute,
			},
		},
		"B15 paused: it is not looked up": {
			with(func(b *WorkspaceBinding) { b.Stale = true }, withPause), outcome{Ready: "False Paused"},
		},
		"a grant outlives a stop: no new consent": {
			newSession("ci", withOAuth(), withHeldGrant(0), boundTo(stopped)), stoppedOutcome,
		},
		"deleted: the workspace does not matter": {
			newSession(
				"ci", withMint("bot"), boundTo(stopped), withDeletion(0),
				func(o *Observation) { o.LostTokenSearched = true },
			),
			outcome{Do: RemoveFinalizer},
		},
	})
}
