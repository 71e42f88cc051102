// SPDX-License-Identifier: Apache-2.0

package session

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Action is one step that the controller carries out.
type Action string

const (
	// Nothing is left to do.
	Nothing Action = ""
	// AddFinalizer before anything is created that must be revoked later.
	AddFinalizer Action = "AddFinalizer"
	// RemoveFinalizer lets a deleted session go.
	RemoveFinalizer Action = "RemoveFinalizer"
	// LookUpUser finds the target user, its state and its maximum lifetime.
	LookUpUser Action = "LookUp"
	// Mint creates token Plan.Mint, checks it and publishes it.
	Mint Action = "Mint"
	// CheckCredential asks the server who the caller is.
	CheckCredential Action = "CheckCredential"
	// Publish writes the Secret from a credential that is known to be good.
	Publish Action = "Publish"
	// DeleteSecret deletes the Secret.
	DeleteSecret Action = "Withdraw"
	// RetainSecret leaves the Secret without an owner.
	RetainSecret Action = "Release"
	// FindLostToken looks for a token that a lost answer may have left, and revokes it.
	FindLostToken Action = "Sweep"
	// Revoke deletes the tokens in Plan.Revoke on the server.
	Revoke Action = "Revoke"
	// Restart rolls the workloads in Plan.Roll.
	Restart Action = "Restart"
	// FindWorkspace looks up the workspace that the session is bound to.
	FindWorkspace Action = "FindWorkspace"
	// RegisterClient makes the session known to the server as an OAuth client.
	RegisterClient Action = "Register"
	// StartAuthorization makes a request for a person's consent.
	StartAuthorization Action = "Authorize"
	// RefreshGrant spends the refresh token on a new pair.
	RefreshGrant Action = "Refresh"
	// ResolveInterruptedRefresh finds out whether a refresh was carried out whose answer is lost.
	ResolveInterruptedRefresh Action = "Resolve"
	// EndGrant revokes a grant that is of no use, for Plan.Ending, and keeps the client.
	EndGrant Action = "EndGrant"
	// ForgetGrant revokes the grant, deletes the registration and all that is kept of both.
	ForgetGrant Action = "ForgetGrant"
)

// Plan is what to do now, what to say, and when to look again.
type Plan struct {
	Action Action
	// Mint describes the token, for Mint; its serial also for Sweep.
	Mint MintRequest
	// Revoke names the tokens, for Revoke.
	Revoke []TokenRef
	// GrantEndReason says why, for EndGrant.
	GrantEndReason GrantEndReason
	// WorkloadsToRestart names the workloads, for Restart.
	WorkloadsToRestart []v1alpha1.RestartTarget

	// SkipStatusUpdate says that status stays as it is: what was seen is not believed.
	SkipStatusUpdate bool
	// RevokeAll says that the session may have no credential: all that was minted for
	// it goes now, and what is published as soon as its Secret is gone.
	RevokeAll bool
	// Conditions to set; those in Absent are removed.
	Conditions         []metav1.Condition
	ConditionsToRemove []string
	Suspension         *v1alpha1.Suspension
	User               *v1alpha1.SessionUser
	Token              *v1alpha1.TokenStatus
	PendingRevocations []v1alpha1.PendingRevocation
	Secret             *v1alpha1.SecretStatus
	Restarts           []v1alpha1.RestartStatus
	// Retirement says why retention keeps the credential away; nil: it does not.
	Retirement *v1alpha1.Retirement
	// LastActivityTime is when somebody last did something about a minted session.
	LastActivityTime *metav1.Time
	// HandledRenewalRequest is the last request for renewal that is served.
	HandledRenewalRequest string
	// Authorization is what a person has to open.
	Authorization *v1alpha1.Authorization
	// NextRefresh is when, by the server's clock, the credential is replaced; zero:
	// never.
	NextRefresh time.Time
	// Abandoned names the tokens that are left on the server for good.
	Abandoned []string

	// Priority of what is done or waited for.
	Priority Priority
	// RequeueAt is when to look again without any event; zero: only an event can change
	// anything.
	RequeueAt time.Time
	// Backoff says to come back sooner than Wake, and less often each time.
	Backoff bool
	// RequeueNow says to observe anew at once.
	RequeueNow bool
}

// Priority says whose turn comes first where there is no room for all (B52). The zero
// value is Routine.
type Priority int

const (
	// Routine work is done in good time.
	Routine Priority = iota
	// FirstCredential is for a session that has no credential.
	FirstCredential
	// NearExpiry is for one whose credential is about to end.
	NearExpiry
)

// MintRequest describes a token that is to be minted.
type MintRequest struct {
	Serial   int64
	UserID   string
	Lifetime time.Duration
	// SpecDigest is kept with the token, see [Published.Request].
	SpecDigest string
}

// TokenRef is a token that is to be revoked.
type TokenRef struct {
	ID, Name string
}

// condition returns the one of a type that the plan sets, or nil.
func (p Plan) condition(conditionType string) *metav1.Condition {
	for i := range p.Conditions {
		if p.Conditions[i].Type == conditionType {
			return &p.Conditions[i]
		}
	}
	return nil
}

// set adds a condition, or replaces the one of its type. It is not absent then,
// whatever was said before.
func (p *Plan) set(conditionType string, status metav1.ConditionStatus, reason, message string) {
	p.ConditionsToRemove = slices.DeleteFunc(p.ConditionsToRemove, func(absent string) bool { return absent == conditionType })
	next := metav1.Condition{Type: conditionType, Status: status, Reason: reason, Message: message}
	if c := p.condition(conditionType); c != nil {
		*c = next
		return
	}
	p.Conditions = append(p.Conditions, next)
}

// notReady is a plan with nothing to do and Ready=False.
func notReady(reason, message string) Plan {
	var p Plan
	p.set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	return p
}

// wakeAt moves the wake-up to t where that is sooner.
func (p *Plan) wakeAt(t time.Time) {
	if !t.IsZero() && (p.RequeueAt.IsZero() || t.Before(p.RequeueAt)) {
		p.RequeueAt = t
	}
}
