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
	// LookUp finds the target user, its state and its maximum lifetime.
	LookUp Action = "LookUp"
	// Mint creates token Plan.Mint, checks it and publishes it.
	Mint Action = "Mint"
	// CheckCredential asks the server who the caller is.
	CheckCredential Action = "CheckCredential"
	// Publish writes the Secret from a credential that is known to be good.
	Publish Action = "Publish"
	// Withdraw deletes the Secret.
	Withdraw Action = "Withdraw"
	// Release leaves the Secret without an owner.
	Release Action = "Release"
	// Sweep looks for a token that a lost answer may have left, and revokes it.
	Sweep Action = "Sweep"
	// Revoke deletes the tokens in Plan.Revoke on the server.
	Revoke Action = "Revoke"
	// Restart rolls the workloads in Plan.Roll.
	Restart Action = "Restart"
	// FindWorkspace looks up the workspace that the session is bound to.
	FindWorkspace Action = "FindWorkspace"
	// Register makes the session known to the server as an OAuth client.
	Register Action = "Register"
	// Authorize makes a request for a person's consent.
	Authorize Action = "Authorize"
	// Refresh spends the refresh token on a new pair.
	Refresh Action = "Refresh"
	// Resolve finds out whether a refresh was carried out whose answer is lost.
	Resolve Action = "Resolve"
	// EndGrant revokes a grant that is of no use, for Plan.Ending, and keeps the client.
	EndGrant Action = "EndGrant"
	// ForgetGrant revokes the grant, deletes the registration and all that is kept of both.
	ForgetGrant Action = "ForgetGrant"
)

// Plan is what to do now, what to say, and when to look again.
type Plan struct {
	Do Action
	// Mint describes the token, for Mint; its serial also for Sweep.
	Mint Order
	// Revoke names the tokens, for Revoke.
	Revoke []Doomed
	// Ending says why, for EndGrant.
	Ending Ending
	// Roll names the workloads, for Restart.
	Roll []v1alpha1.RestartTarget

	// Keep says that status stays as it is: what was seen is not believed.
	Keep bool
	// Strip says that the session may have no credential: all that was minted for
	// it goes now, and what is published as soon as its Secret is gone.
	Strip bool
	// Conditions to set; those in Absent are removed.
	Conditions []metav1.Condition
	Absent     []string
	Suspension *v1alpha1.Suspension
	User       *v1alpha1.SessionUser
	Token      *v1alpha1.TokenStatus
	Retiring   []v1alpha1.RetiringToken
	Secret     *v1alpha1.SecretStatus
	Restarts   []v1alpha1.RestartStatus
	// Retirement says why retention keeps the credential away; nil: it does not.
	Retirement *v1alpha1.Retirement
	// ActiveSince is when somebody last did something about a minted session.
	ActiveSince *metav1.Time
	// Handled is the last request for renewal that is served.
	Handled string
	// Authorization is what a person has to open.
	Authorization *v1alpha1.Authorization
	// NextRefresh is when, by the server's clock, the credential is replaced; zero:
	// never.
	NextRefresh time.Time
	// Abandoned names the tokens that are left on the server for good.
	Abandoned []string

	// Urgency of what is done or waited for.
	Urgency Urgency
	// Wake is when to look again without any event; zero: only an event can change
	// anything.
	Wake time.Time
	// Backoff says to come back sooner than Wake, and less often each time.
	Backoff bool
	// Again says to observe anew at once.
	Again bool
}

// Urgency says whose turn comes first where there is no room for all (B52). The zero
// value is Routine.
type Urgency int

const (
	// Routine work is done in good time.
	Routine Urgency = iota
	// First is for a session that has no credential.
	First
	// Pressing is for one whose credential is about to end.
	Pressing
)

// Order describes a token that is to be minted.
type Order struct {
	Serial   int64
	UserID   string
	Lifetime time.Duration
	// Request is kept with the token, see [Published.Request].
	Request string
}

// Doomed is a token that is to be revoked.
type Doomed struct {
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
	p.Absent = slices.DeleteFunc(p.Absent, func(absent string) bool { return absent == conditionType })
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
	if !t.IsZero() && (p.Wake.IsZero() || t.Before(p.Wake)) {
		p.Wake = t
	}
}
