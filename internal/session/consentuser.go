// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// consentProblem is why the grant is not one of the user whom the session is for: the one in the spec,
// or the first one who consented, pinned by id, as the user of minted tokens is (B134). Empty: it is, or
// the server was not asked about the current grant yet.
func (o Observation) consentProblem() string {
	check, wanted, pinned := o.CredentialCheck, o.Session.Spec.Auth.OAuth.User, o.consentedUser()
	if !o.Grant.Held || !check.Result.OK() || check.Time.IsZero() || check.Credential != o.Grant.Fingerprint {
		return ""
	}
	if check.User != nil {
		return o.otherUserProblem(check.User, wanted, pinned)
	}
	if wanted != "" || pinned != nil || o.Deployment.OwnWorkspaceOnly {
		return "the server does not say who has consented: add user:read to the scopes, and consent again"
	}
	return ""
}

// otherUserProblem is why the user who has consented is not the one in the spec, the one who consented
// first, or the owner of the workspace.
func (o Observation) otherUserProblem(user *v1alpha1.SessionUser, wanted string, pinned *v1alpha1.SessionUser) string {
	switch {
	case wanted != "" && !strings.EqualFold(user.Username, wanted):
		return fmt.Sprintf("user %q has consented, and auth.oauth.user is %q: consent as that user", user.Username, wanted)
	case pinned != nil && pinned.ID != user.ID && strings.EqualFold(pinned.Username, user.Username):
		return fmt.Sprintf("user %q is now another account (id %s, was %s): to use it, delete the session and create it "+
			"again", user.Username, user.ID, pinned.ID)
	case pinned != nil && pinned.ID != user.ID:
		return fmt.Sprintf("user %q has consented, and the session is for user %q, who was the first: consent as that "+
			"user, or write %q in auth.oauth.user", user.Username, pinned.Username, user.Username)
	case o.Deployment.OwnWorkspaceOnly && !o.isWorkspaceOwner():
		return fmt.Sprintf("user %q has consented, and the workspace is of user %q: consent as that user, or correct "+
			"spec.workspace", user.Username, o.Session.Spec.Workspace.Owner)
	}
	return ""
}

// consentedUser is the first user who consented. Nil: there is none on this server, or the spec names
// another one since.
func (o Observation) consentedUser() *v1alpha1.SessionUser {
	was, wanted := o.Session.Status.User, o.Session.Spec.Auth.OAuth.User
	if was == nil || !was.Consented || was.DeploymentID != o.Deployment.ID ||
		wanted != "" && !strings.EqualFold(was.Username, wanted) {
		return nil
	}
	return was
}

// pinConsentedUser returns the user of a grant as status keeps them.
func (o Observation) pinConsentedUser(user *v1alpha1.SessionUser) *v1alpha1.SessionUser {
	if user == nil {
		return nil
	}
	pinned := *user
	pinned.Consented, pinned.DeploymentID = true, o.Deployment.ID
	return &pinned
}
