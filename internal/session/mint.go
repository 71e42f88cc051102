// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// DefaultLifetime of a minted token if the spec sets none.
const DefaultLifetime = 24 * time.Hour

// mintMethod is auth.mint: the operator mints tokens for a user.
type mintMethod struct{}

func (mintMethod) decide(o Observation) Plan { return decideMint(o) }

func (mintMethod) replacement(o Observation) (due, end time.Time) {
	if o.Secret.Token == nil {
		return time.Time{}, time.Time{}
	}
	return o.rotationTime(), o.Secret.Token.ExpiresAt
}

func (mintMethod) isRenewalServed(o Observation) bool { return o.isMintedForRequest() }

// credential is none: minted tokens are verified without sending them.
func (mintMethod) credential(Observation) (string, bool) { return "", false }

func (mintMethod) mints() bool { return true }

func (mintMethod) keepsGrant() bool { return false }

// refusalMessage is not used: minted tokens are verified without sending them.
func (mintMethod) refusalMessage(_ Observation, why string) string { return why }

// decideMint decides for auth.mint.
func decideMint(o Observation) Plan {
	if p, waits := awaitMinting(o); waits {
		return p
	}
	if o.Secret.Unconfirmed {
		if p, waits := confirmToken(o); waits {
			return p
		}
	}
	if o.needsMint() || o.pinnedUser() == nil {
		return replaceToken(o)
	}
	if !o.Secret.InSync {
		return Plan{Action: Publish}
	}
	p := reportActive(o, o.pinnedUser())
	setLifetimeCutCondition(o, &p)
	sayRenewalWaits(o, &p)
	if at := o.rotationTime(); !at.IsZero() {
		p.NextRefresh = at
		p.requeueBy(at.Add(-o.Skew))
	}
	if o.Session.Status.User == nil && o.ServerTokens.Token == nil {
		// The token list can only be read for a user that is recorded in status (B44).
		p.requeueBy(o.Now.Add(requeueSoon))
	}
	return p
}

// awaitMinting returns a plan that waits, and true, if no token can be minted for the user now.
func awaitMinting(o Observation) (Plan, bool) {
	if p, waits := awaitDeployment(o); waits {
		return p, true
	}
	if o.Deployment.User == nil {
		return keepReadyWhileUnavailable(o, v1alpha1.ReasonConfigInvalid, v1alpha1.ReasonConfigInvalid,
			"the CoderDeployment has no token to mint with: set its spec.token to a token of a user with the owner role"), true
	}
	if o.isUserSuspended() {
		p := reportSuspended(o, v1alpha1.ReasonUserSuspended,
			fmt.Sprintf("user %q is suspended on the server: activate the user, and the session recovers automatically",
				o.Session.Spec.Auth.Mint.User))
		p.User = o.pinnedUser()
		return p, true
	}
	return Plan{}, false
}

// confirmToken asks the server about a token that was recognized by its value, once, and returns false
// if the server accepts it.
func confirmToken(o Observation) (Plan, bool) {
	check, due := o.CredentialCheck, o.nextCheckTime()
	token := o.Secret.Token.Fingerprint
	switch {
	case !o.wasChecked(token), !check.Result.OK() && !o.Now.Before(due):
		return Plan{Action: CheckCredential}, true
	case check.Result.OK() && o.isOfAnotherUser(check.User):
		return replaceToken(o), true
	case check.Result.OK():
		return Plan{}, false
	case isAboutCredential(check.Result, token):
		return replaceToken(o), true
	}
	p := keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, check.Result.Reason, stableMessage(check.Result))
	p.requeueBy(due)
	return p, true
}

// isOfAnotherUser reports whether the server names another user of a token than the session's. Nil: the
// token may not read its user.
func (o Observation) isOfAnotherUser(user *v1alpha1.SessionUser) bool {
	pinned := o.pinnedUser()
	return user != nil && pinned != nil && user.ID != pinned.ID
}

// isUserSuspended reports whether the user in the spec is suspended on the server. The token list
// knows the recorded user only.
func (o Observation) isUserSuspended() bool {
	was := o.Session.Status.User
	recorded := was != nil && strings.EqualFold(was.Username, o.Session.Spec.Auth.Mint.User)
	return recorded && o.ServerTokens.UserSuspended || o.TargetUser.Suspended
}

// needsMint reports whether a new token is needed: there is none, its value or the token itself is
// gone, the spec asks for another one, a renewal is requested, or it is about to expire.
func (o Observation) needsMint() bool { return o.lacksToken() || o.isRotationDue() }

// lacksToken reports whether the published token is not the one that the spec asks for, or is gone.
func (o Observation) lacksToken() bool {
	token := o.Secret.Token
	switch {
	case !token.Minted(), o.Secret.ValueGone:
		return true
	case o.ServerTokens.Loaded && o.ServerTokens.Token == nil:
		return true
	}
	return o.isAskedForAnother() && !o.awaitsRollout()
}

// isRotationDue reports whether the published token ends soon.
func (o Observation) isRotationDue() bool {
	at := o.rotationTime()
	return !at.IsZero() && !o.serverNow().Before(at)
}

// isAskedForAnother reports whether the spec asks for another token than the published one, or a person
// does.
func (o Observation) isAskedForAnother() bool {
	requested := o.isRenewalPending() && !o.isMintedForRequest() && o.renewalTime().IsZero()
	return requested || trimRenewalRequest(o.Secret.Token.SpecDigest) != o.SpecDigest
}

// replaceToken looks the user up and mints, unless the username belongs to another account now. A
// token is not replaced before status names it: otherwise a crash could lose track of it, and a
// cause that makes every new token due at once would mint without end.
func replaceToken(o Observation) Plan {
	name := o.Session.Spec.Auth.Mint.User
	target, pinned := o.TargetUser, o.pinnedUser()
	switch {
	case !target.Known:
		return Plan{Action: LookUpUser}
	case target.Missing:
		return configInvalid(o, o.missingUserMessage())
	case !strings.EqualFold(target.User.Username, name):
		// "me" is the operator itself (contract A.6), and access rules compare the written name.
		return configInvalid(o, fmt.Sprintf("%q is not a username, and the server resolves it to user %q: "+
			"write the username in auth.mint.user", name, target.User.Username))
	case pinned != nil && pinned.ID != target.User.ID:
		p := configInvalid(o, fmt.Sprintf("user %q is now another account (id %s, was %s): "+
			"to use it, delete the session and create it again", name, target.User.ID, pinned.ID))
		p.User = pinned
		return p
	case !o.isRecordedInStatus():
		p := keepReadyWhileUnavailable(o, v1alpha1.ReasonVerifying, v1alpha1.ReasonVerifying,
			"the token that was just minted has to be replaced; retrying automatically")
		p.User = &target.User
		p.Backoff = true
		return p
	}
	if o.Secret.Unproven {
		return Plan{Action: TryPublish, User: &target.User}
	}
	return Plan{Action: Mint, User: &target.User, Mint: MintRequest{
		Serial: o.nextSerial(), UserID: target.User.ID, Lifetime: o.requestedLifetime(),
		SpecDigest: withRenewalRequest(o.SpecDigest, o.renewalRequest()),
		Due:        !o.lacksToken() && o.isRotationDue(),
	}}
}

// missingUserMessage says why the server does not show the user that tokens are minted for. Only to
// an owner it shows all users.
func (o Observation) missingUserMessage() string {
	name, own := o.Session.Spec.Auth.Mint.User, o.Deployment.User
	if o.Deployment.SeesAllUsers || own == nil {
		return fmt.Sprintf("the server has no user %q: correct auth.mint.user", name)
	}
	return fmt.Sprintf("the operator's user %q is no owner, so it cannot mint for user %q: "+
		"give it the role owner on the server, or name the token of an owner in the CoderDeployment", own.Username, name)
}

// configInvalid is not ready until a person changes something. It checks again once in an interval,
// because the change may be made on the server.
func configInvalid(o Observation, message string) Plan {
	p := notReady(v1alpha1.ReasonConfigInvalid, message)
	p.RequeueAt = o.Now.Add(o.Deployment.VerifyInterval())
	return p
}

// pinnedUser is the user that the session was for before, if the spec still names it (B48),
// otherwise the user that was just looked up. Nil: the user is not known.
func (o Observation) pinnedUser() *v1alpha1.SessionUser {
	mint := o.Session.Spec.Auth.Mint
	if mint == nil {
		return nil
	}
	if was := o.recordedUser(); was != nil && strings.EqualFold(was.Username, mint.User) {
		return was
	}
	if o.TargetUser.Known && !o.TargetUser.Missing && strings.EqualFold(o.TargetUser.User.Username, mint.User) {
		return &o.TargetUser.User
	}
	return nil
}

// recordedUser is the user in status. Nil if it was recorded for another server, because user ids
// differ between servers. The Secret says which server it was, or status if there is no Secret.
func (o Observation) recordedUser() *v1alpha1.SessionUser {
	if token := o.Secret.Token; token.Minted() && !isSameServer(token.SpecDigest, o.SpecDigest) {
		return nil
	}
	was := o.Session.Status.User
	if was != nil && was.DeploymentID != "" && o.Deployment.ID != "" && was.DeploymentID != o.Deployment.ID {
		return nil
	}
	return was
}

// lastSerial is the highest serial that the session's own tokens are known to have had, or that another
// attempt found to be taken.
func (o Observation) lastSerial() int64 {
	serial := o.TakenSerial
	if o.Secret.Token != nil {
		serial = max(serial, o.Secret.Token.Serial)
	}
	if was := o.Session.Status.Token; was != nil {
		serial = max(serial, was.Serial)
	}
	return serial
}

// nextSerial is the first serial after [Observation.lastSerial] whose name is not taken by a token that is
// yet to be revoked, or by one of another operator. It does not follow the highest of these: users can
// give their own tokens such names.
func (o Observation) nextSerial() int64 {
	taken, pending := map[int64]bool{}, map[string]bool{o.Secret.HeldID: true}
	for _, t := range o.Session.Status.PendingRevocations {
		taken[parseSerial(t.Name)], pending[t.ID] = true, true
	}
	for _, t := range o.ServerTokens.Others {
		if pending[t.ID] {
			taken[t.Serial] = true
		}
	}
	for _, t := range o.ServerTokens.Foreign {
		taken[t.Serial] = true
	}
	after := func(serial int64) int64 { return serial%v1alpha1.MaxSerial + 1 }
	next := after(o.lastSerial())
	for taken[next] {
		next = after(next)
	}
	return next
}

// parseSerial returns the serial at the end of a minted token's name; 0 if there is none.
func parseSerial(name string) int64 {
	serial, err := strconv.ParseInt(name[strings.LastIndex(name, "-")+1:], 10, 64)
	if err != nil || serial < 0 {
		return 0
	}
	return serial
}

// requestedLifetime is the lifetime to ask for: the spec's, cut to the server's maximum (B49).
func (o Observation) requestedLifetime() time.Duration {
	lifetime := o.Session.Spec.Auth.Mint.Lifetime.Or(DefaultLifetime)
	if limit := o.TargetUser.MaxLifetime; limit > 0 {
		lifetime = min(lifetime, limit)
	}
	return lifetime
}

// grantedLifetime is the published token's lifetime; 0 if it is not known.
func (o Observation) grantedLifetime() time.Duration {
	token := o.Secret.Token
	if token == nil || token.ExpiresAt.IsZero() {
		return 0
	}
	if listed := o.ServerTokens.Token; listed != nil && !listed.CreatedAt.IsZero() {
		// The expiration time is published in whole seconds, so the creation time is truncated too.
		return token.ExpiresAt.Sub(listed.CreatedAt.Truncate(time.Second))
	}
	if was := o.Session.Status.Token; was != nil && was.ID == token.ID && was.IssueTime != nil {
		return token.ExpiresAt.Sub(was.IssueTime.Time)
	}
	return 0
}

// rotationTime is when, by the server's clock, the published token is replaced; zero: never. While
// another operator mints tokens of the session, that is not before its end: a rotation revokes the former
// token, which the other one may publish as well.
func (o Observation) rotationTime() time.Time {
	token := o.Secret.Token
	if token == nil || token.ExpiresAt.IsZero() {
		return time.Time{}
	}
	if o.hasDuplicateOperator() {
		return token.ExpiresAt
	}
	lifetime := o.grantedLifetime()
	if lifetime <= 0 {
		lifetime = o.Session.Spec.Auth.Mint.Lifetime.Or(DefaultLifetime)
	}
	return token.ExpiresAt.Add(-renewBefore(o.Session, lifetime))
}

// renewBefore is how long before its expiration a credential with this lifetime is replaced. A
// setting that leaves less than a tenth of the lifetime would replace it without end, so it is
// ignored for a third of the lifetime.
func renewBefore(s *v1alpha1.CoderSession, lifetime time.Duration) time.Duration {
	before := lifetime / 3
	if rotation := s.Spec.Rotation; rotation != nil {
		if asked := rotation.RenewBefore.Or(before); asked <= lifetime-lifetime/10 {
			return asked
		}
	}
	return before
}

// setLifetimeCutCondition sets LifetimeCut if the server granted a shorter lifetime than the spec
// asks for.
func setLifetimeCutCondition(o Observation, p *Plan) {
	asked, granted := o.Session.Spec.Auth.Mint.Lifetime.Or(DefaultLifetime), o.grantedLifetime()
	// The times of the response are rounded, so a difference of a second is no cut.
	if granted <= 0 || granted >= asked-time.Second {
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionLifetimeCut)
		return
	}
	p.setCondition(v1alpha1.ConditionLifetimeCut, metav1.ConditionTrue, v1alpha1.ReasonServerMaximum,
		fmt.Sprintf("the server limits tokens of this user to %s, less than auth.mint.lifetime (%s): "+
			"lower auth.mint.lifetime, or raise the limit on the server", granted.Round(time.Second), asked))
}
