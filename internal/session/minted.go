// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// DefaultLifetime of a minted token where the spec names none.
const DefaultLifetime = 24 * time.Hour

// minted decides for auth.mint.
func minted(o Observation) Plan {
	if p, held := awaitDeployment(o); held {
		return p
	}
	if o.Deployment.User == nil {
		return keepReadyWhileUnavailable(o, v1alpha1.ReasonConfigInvalid, v1alpha1.ReasonConfigInvalid,
			"the deployment has no credential that could mint: name the token of an owner in its spec.token")
	}
	if o.userSuspended() {
		p := suspended(o, v1alpha1.ReasonUserSuspended,
			fmt.Sprintf("the server has suspended user %q: have the user activated; the session returns by itself", o.Session.Spec.Auth.Mint.User))
		p.User = o.pinnedUser()
		return p
	}
	if o.mintDue() || o.pinnedUser() == nil {
		return replace(o)
	}
	if !o.Secret.InSync {
		return Plan{Action: Publish}
	}
	p := active(o, o.pinnedUser())
	sayCut(o, &p)
	if at := o.rotateAt(); !at.IsZero() {
		p.NextRefresh = at
		p.wakeAt(at.Add(-o.Skew))
	}
	if o.Session.Status.User == nil && o.ServerTokens.Token == nil {
		// The list can only be consulted about a user that is pinned (B44).
		p.wakeAt(o.Now.Add(soon))
	}
	return p
}

// awaitDeployment holds a session whose deployment cannot be used now.
func awaitDeployment(o Observation) (Plan, bool) {
	d := o.Deployment
	switch {
	case d.Problem != "":
		return keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, v1alpha1.ReasonConfigInvalid, "the deployment's settings: "+d.Problem), true
	case !d.Result.OK():
		return keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, d.Result.Reason, "the deployment is not verified: "+explain(d.Result)), true
	}
	return Plan{}, false
}

// userSuspended reports whether the user that the spec names now is suspended; the
// list speaks of the one that was pinned.
func (o Observation) userSuspended() bool {
	was := o.Session.Status.User
	listed := was != nil && strings.EqualFold(was.Username, o.Session.Spec.Auth.Mint.User) && o.ServerTokens.UserSuspended
	return listed || o.TargetUser.Suspended
}

// mintDue reports whether a new token is needed: there is none, its value or the
// token itself is gone, it is not what the spec asks for, another one is asked for, or its end is near.
func (o Observation) mintDue() bool {
	token := o.Secret.Token
	switch {
	case !token.Minted(), o.Secret.ValueGone:
		return true
	case o.ServerTokens.Loaded && o.ServerTokens.Token == nil:
		return true
	case specDigest(token.SpecDigest) != o.SpecDigest, o.renewalPending() && !o.mintedAnew():
		return true
	}
	at := o.rotateAt()
	return !at.IsZero() && !o.serverNow().Before(at)
}

// replace looks the user up and mints, unless the user is not the one it was. A
// token that status does not name yet is not replaced before it does: otherwise a
// crash could lose it, and whatever makes every new token due at once would mint
// without end.
func replace(o Observation) Plan {
	name := o.Session.Spec.Auth.Mint.User
	target, pinned := o.TargetUser, o.pinnedUser()
	switch {
	case !target.Known:
		return Plan{Action: LookUpUser}
	case target.Missing:
		return configInvalid(o, fmt.Sprintf("the server knows no user %q, or the operator may not see it: correct auth.mint.user, or give the operator the owner role", name))
	case !strings.EqualFold(target.User.Username, name):
		// "me" is the operator itself (contract A.6), whatever access rules say of it.
		return configInvalid(o, fmt.Sprintf("%q is not a username: the server takes it for user %q; write that name in auth.mint.user", name, target.User.Username))
	case pinned != nil && pinned.ID != target.User.ID:
		p := configInvalid(o, fmt.Sprintf("user %q is now another account (id %s, was %s): delete the session and create it anew if that is meant", name, target.User.ID, pinned.ID))
		p.User = pinned
		return p
	case !o.recordedInStatus():
		p := keepReadyWhileUnavailable(o, v1alpha1.ReasonVerifying, v1alpha1.ReasonVerifying, "the token was just minted and is to be replaced")
		p.User = &target.User
		p.Backoff = true
		return p
	}
	return Plan{Action: Mint, User: &target.User, Mint: MintRequest{
		Serial: o.lastSerial() + 1, UserID: target.User.ID, Lifetime: o.lifetime(), SpecDigest: renewal(o.SpecDigest, o.asked()),
	}}
}

// configInvalid is not ready until somebody changes something, and looked at again now
// and then, because the change may be on the server.
func configInvalid(o Observation, message string) Plan {
	p := notReady(v1alpha1.ReasonConfigInvalid, message)
	p.RequeueAt = o.Now.Add(o.Deployment.interval())
	return p
}

// pinnedUser is the user that the session was for before, if the spec still
// names it (B48); just looked up, it is that one.
func (o Observation) pinnedUser() *v1alpha1.SessionUser {
	mint := o.Session.Spec.Auth.Mint
	if mint == nil {
		return nil
	}
	if was := o.formerUser(); was != nil && strings.EqualFold(was.Username, mint.User) {
		return was
	}
	if o.TargetUser.Known && !o.TargetUser.Missing && strings.EqualFold(o.TargetUser.User.Username, mint.User) {
		return &o.TargetUser.User
	}
	return nil
}

// formerUser is the one that status names. Ids of another server's users mean
// nothing here; which server it was is said by the Secret, and by status where
// there is none.
func (o Observation) formerUser() *v1alpha1.SessionUser {
	if token := o.Secret.Token; token.Minted() && !sameServer(token.SpecDigest, o.SpecDigest) {
		return nil
	}
	was := o.Session.Status.User
	if was != nil && was.DeploymentID != "" && o.Deployment.ID != "" && was.DeploymentID != o.Deployment.ID {
		return nil
	}
	return was
}

// lastSerial is the highest serial that was published, as far as anybody knows. One
// that is only retiring counts too: its name is taken until it is revoked.
func (o Observation) lastSerial() int64 {
	var serial int64
	if o.Secret.Token != nil {
		serial = o.Secret.Token.Serial
	}
	if was := o.Session.Status.Token; was != nil {
		serial = max(serial, was.Serial)
	}
	for _, t := range o.Session.Status.PendingRevocations {
		serial = max(serial, serialIn(t.Name))
	}
	for _, t := range o.ServerTokens.Others {
		if slices.ContainsFunc(o.Session.Status.PendingRevocations, func(r v1alpha1.PendingRevocation) bool { return r.ID == t.ID }) {
			serial = max(serial, t.Serial)
		}
	}
	return serial
}

// serialIn is what the name of a minted token ends with; 0 where that is no serial.
func serialIn(name string) int64 {
	serial, err := strconv.ParseInt(name[strings.LastIndex(name, "-")+1:], 10, 64)
	if err != nil || serial < 0 {
		return 0
	}
	return serial
}

// lifetime to ask for: the spec's, cut to the server's maximum (B49).
func (o Observation) lifetime() time.Duration {
	lifetime := o.Session.Spec.Auth.Mint.Lifetime.Or(DefaultLifetime)
	if limit := o.TargetUser.MaxLifetime; limit > 0 {
		lifetime = min(lifetime, limit)
	}
	return lifetime
}

// granted is the published token's lifetime; 0 where it is not known.
func (o Observation) granted() time.Duration {
	token := o.Secret.Token
	if token == nil || token.ExpiresAt.IsZero() {
		return 0
	}
	if listed := o.ServerTokens.Token; listed != nil && !listed.CreatedAt.IsZero() {
		// The end is published in whole seconds, so the beginning is taken so too.
		return token.ExpiresAt.Sub(listed.CreatedAt.Truncate(time.Second))
	}
	if was := o.Session.Status.Token; was != nil && was.ID == token.ID && was.IssueTime != nil {
		return token.ExpiresAt.Sub(was.IssueTime.Time)
	}
	return 0
}

// rotateAt is when, by the server's clock, the published token is replaced.
func (o Observation) rotateAt() time.Time {
	token := o.Secret.Token
	if token == nil || token.ExpiresAt.IsZero() {
		return time.Time{}
	}
	lifetime := o.granted()
	if lifetime <= 0 {
		lifetime = o.Session.Spec.Auth.Mint.Lifetime.Or(DefaultLifetime)
	}
	return token.ExpiresAt.Add(-o.renewBefore(lifetime))
}

// renewBefore is how long before its end a credential of this lifetime is replaced. One that leaves less than a tenth of
// the lifetime would replace it without end, so a third serves instead.
func (o Observation) renewBefore(lifetime time.Duration) time.Duration {
	before := lifetime / 3
	if rotation := o.Session.Spec.Rotation; rotation != nil {
		if asked := rotation.RenewBefore.Or(before); asked <= lifetime-lifetime/10 {
			return asked
		}
	}
	return before
}

// sayCut sets LifetimeCut where the server granted less than was asked for.
func sayCut(o Observation, p *Plan) {
	asked, granted := o.Session.Spec.Auth.Mint.Lifetime.Or(DefaultLifetime), o.granted()
	// The answer's times are rounded, so a second less is no cut.
	if granted <= 0 || granted >= asked-time.Second {
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionLifetimeCut)
		return
	}
	p.set(v1alpha1.ConditionLifetimeCut, metav1.ConditionTrue, v1alpha1.ReasonServerMaximum,
		fmt.Sprintf("the server allows a token of this user to live %s at most, less than the %s of auth.mint.lifetime", granted.Round(time.Second), asked))
}
