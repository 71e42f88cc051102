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
	// RemoveFinalizer of a deleted session.
	RemoveFinalizer Action = "RemoveFinalizer"
	// LookUpUser reads the target user, its state and its maximum lifetime.
	LookUpUser Action = "LookUpUser"
	// Mint creates token Plan.Mint, checks it and publishes it.
	Mint Action = "Mint"
	// CheckCredential asks the server whom the credential belongs to.
	CheckCredential Action = "CheckCredential"
	// TryPublish asks the API server, without a change, whether it would take the Secret.
	TryPublish Action = "TryPublish"
	// Publish writes the Secret from a credential that the server accepts.
	Publish Action = "Publish"
	// DeleteSecret deletes the Secret.
	DeleteSecret Action = "DeleteSecret"
	// RetainSecret removes the owner from the Secret, so that it outlives the session.
	RetainSecret Action = "RetainSecret"
	// FindLostToken looks for a token that a lost response may have left on the server, and revokes
	// it.
	FindLostToken Action = "FindLostToken"
	// Revoke deletes the tokens in Plan.Revoke on the server.
	Revoke Action = "Revoke"
	// Restart restarts the workloads in Plan.WorkloadsToRestart.
	Restart Action = "Restart"
	// FindWorkspace looks up the workspace that the session is bound to.
	FindWorkspace Action = "FindWorkspace"
	// RegisterClient registers the session on the server as an OAuth client.
	RegisterClient Action = "RegisterClient"
	// StartAuthorization creates a request for a person's consent.
	StartAuthorization Action = "StartAuthorization"
	// StoreGrant writes a grant that was issued and could not be stored yet.
	StoreGrant Action = "StoreGrant"
	// RefreshGrant exchanges the refresh token for new tokens.
	RefreshGrant Action = "RefreshGrant"
	// ResolveInterruptedRefresh finds out whether the server carried out a refresh whose response
	// is lost.
	ResolveInterruptedRefresh Action = "ResolveInterruptedRefresh"
	// EndGrant revokes a grant that cannot be used, for Plan.GrantEndReason, and keeps the client.
	EndGrant Action = "EndGrant"
	// ForgetGrant revokes the grant and deletes the client registration and the grant document.
	ForgetGrant Action = "ForgetGrant"
)

// Plan is what to do now, what status says, and when to look again.
type Plan struct {
	Action Action
	// Mint describes the token, for Mint; its serial is also for FindLostToken.
	Mint MintRequest
	// Revoke names the tokens, for Revoke.
	Revoke []TokenRef
	// GrantEndReason is why the grant ends, for EndGrant.
	GrantEndReason GrantEndReason
	// WorkloadsToRestart names the workloads, for Restart.
	WorkloadsToRestart []v1alpha1.RestartTarget

	// SkipStatusUpdate is true if status stays as it is, because the observation is not reliable.
	SkipStatusUpdate bool
	// KeepStatus is true if only the conditions change in status, because the observation is
	// incomplete.
	KeepStatus bool
	// RevokeAll is true if the session may not have a credential: all its minted tokens are revoked
	// now, the published one as soon as its Secret is gone.
	RevokeAll bool
	// Conditions are set; those in ConditionsToRemove are removed.
	Conditions         []metav1.Condition
	ConditionsToRemove []string
	Suspension         *v1alpha1.Suspension
	User               *v1alpha1.SessionUser
	Token              *v1alpha1.TokenStatus
	PendingRevocations []v1alpha1.PendingRevocation
	Secret             *v1alpha1.SecretStatus
	Restarts           []v1alpha1.RestartStatus
	// Retirement is why retention retires the session; nil: it does not.
	Retirement *v1alpha1.Retirement
	// LastActivityTime is when a minted session was last created, changed or renewed by a person.
	LastActivityTime *metav1.Time
	// HandledRenewalRequest is the last renewal request that was served.
	HandledRenewalRequest string
	// ObservedRenewalRequest is the last renewal request that the status is about, served or not.
	ObservedRenewalRequest string
	// Pods counts the pods of a session with perPod. Nil: it has none.
	Pods *v1alpha1.PodCounts
	// Authorization is the URL that a person has to open.
	Authorization *v1alpha1.Authorization
	// NextRefresh is when, by the server's clock, the credential is replaced; zero: never.
	NextRefresh time.Time
	// Abandoned names the tokens that are left on the server for good.
	Abandoned []string

	// Priority of the action, or of the work that the session waits for.
	Priority Priority
	// RequeueAt is when to look again without an event; zero: only an event can change anything.
	RequeueAt time.Time
	// Backoff is true if the next pass comes earlier than RequeueAt, with a delay that grows each
	// time.
	Backoff bool
}

// Priority decides whose work is done first if the rate limit does not allow all of it (B52). The
// zero value is Routine.
type Priority int

const (
	// Routine work is not urgent.
	Routine Priority = iota
	// FirstCredential is for a session that has no credential.
	FirstCredential
	// NearExpiry is for a session whose credential is about to expire.
	NearExpiry
)

// MintRequest describes a token that is to be minted.
type MintRequest struct {
	Serial   int64
	UserID   string
	Lifetime time.Duration
	// SpecDigest is kept with the token, see [Published.SpecDigest].
	SpecDigest string
	// Due: the published token is as requested, and is replaced only because it ends soon.
	Due bool
}

// TokenRef is a token that is to be revoked.
type TokenRef struct {
	ID, Name string
}

// findCondition returns the condition of a type that the plan sets, or nil.
func (p Plan) findCondition(conditionType string) *metav1.Condition {
	for i := range p.Conditions {
		if p.Conditions[i].Type == conditionType {
			return &p.Conditions[i]
		}
	}
	return nil
}

// setCondition adds a condition, or replaces the one of its type. The type is no longer in
// ConditionsToRemove afterwards.
func (p *Plan) setCondition(conditionType string, status metav1.ConditionStatus, reason, message string) {
	p.ConditionsToRemove = slices.DeleteFunc(p.ConditionsToRemove, func(removed string) bool {
		return removed == conditionType
	})
	next := metav1.Condition{Type: conditionType, Status: status, Reason: reason, Message: message}
	if c := p.findCondition(conditionType); c != nil {
		*c = next
		return
	}
	p.Conditions = append(p.Conditions, next)
}

// notReady is a plan without an action and with Ready=False.
func notReady(reason, message string) Plan {
	var p Plan
	p.setCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	return p
}

// requeueBy moves RequeueAt to t if that is earlier. A zero t changes nothing.
func (p *Plan) requeueBy(t time.Time) {
	if !t.IsZero() && (p.RequeueAt.IsZero() || t.Before(p.RequeueAt)) {
		p.RequeueAt = t
	}
}
