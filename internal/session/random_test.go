// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// choices turns bytes into decisions, so that a fuzzer can steer the contents of random
// observations. Without bytes every choice is the first one.
type choices []byte

func (c *choices) chooseBelow(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

// rarely is true once in n times; never without bytes.
func (c *choices) isRare(n int) bool { return c.chooseBelow(n) == n-1 && n > 1 }

func (c *choices) chooseID() string { return fmt.Sprintf("t%d", c.chooseBelow(6)) }

// at is a time around noon, to the millisecond.
func (c *choices) chooseTime() time.Time {
	spans := []time.Duration{
		-48 * time.Hour, -interval, -time.Second, 0, time.Millisecond, time.Minute, 8 * time.Hour, 24 * time.Hour,
	}
	return noon.Add(spans[c.chooseBelow(len(spans))] + time.Duration(c.chooseBelow(1000))*time.Millisecond)
}

func (c *choices) chooseResult() authcheck.Result {
	return []authcheck.Result{
		accepted, accepted, refused, unreachable, unsettling, {},
		{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonCertificateRejected, AboutCaller: true},
		{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonUnexpectedAnswer},
		{
			Outcome: authcheck.Unreachable, Reason: v1alpha1.ReasonRateLimited, Message: "wait 1.2s",
			RetryAfter: 90 * time.Second,
		},
	}[c.chooseBelow(9)]
}

func (c *choices) chooseUser() v1alpha1.SessionUser {
	return []v1alpha1.SessionUser{
		{ID: "id-bot", Username: "bot"}, {ID: "id-ada", Username: "ada"}, {ID: "id-other", Username: "bot"},
	}[c.chooseBelow(3)]
}

// observation is any that the controller could make, and some that it could not.
func (c *choices) chooseObservation() Observation {
	method := []option{withMint("bot"), withMint("bot"), withToken(), withCertificate(), withMint("me")}[c.chooseBelow(5)]
	o := newSession("ci", method)
	c.changeSpec(&o)
	c.changeDeployment(&o)
	c.changeSecret(&o)
	c.changeStatus(&o)
	c.changeServerTokens(&o)
	if c.isRare(4) {
		o.Failures = c.failures()
	}
	c.changeRetention(&o)
	o.LostTokenSearched = c.isRare(3)
	if c.isRare(3) {
		o.RevokedTokens = []string{c.chooseID()}
	}
	return o
}

// failures are one or two, of different actions.
func (c *choices) failures() failure.Set {
	actions := []Action{Mint, Revoke, DeleteSecret, FindLostToken, CheckCredential, Publish, RemoveFinalizer,
		failure.Observe}
	var set failure.Set
	for n, first := 1+c.chooseBelow(2), c.chooseBelow(len(actions)); n > 0; n-- {
		f := failure.Failure{
			Action: string(actions[(first+n)%len(actions)]), Class: failure.Class(c.chooseBelow(7)),
			Reason:  []string{v1alpha1.ReasonUnreachable, v1alpha1.ReasonForbidden}[c.chooseBelow(2)],
			Message: "no", RetryAfter: time.Duration(c.chooseBelow(3)) * time.Minute,
		}
		if f.Class == failure.Wait {
			f.Message = "wait 1.2s"
		}
		set = append(set, f)
	}
	return set
}

func (c *choices) changeSpec(o *Observation) {
	s := o.Session
	s.Spec.Paused = c.isRare(6)
	if c.isRare(6) {
		s.Finalizers = nil
	}
	if c.isRare(6) {
		at := metav1.NewTime(c.chooseTime())
		s.DeletionTimestamp = &at
	}
	if c.isRare(3) {
		withRotation(
			[]v1alpha1.Duration{"", "1h", "8h", "23h59m59s"}[c.chooseBelow(4)], []v1alpha1.Duration{"1s", "5m",
				"48h"}[c.chooseBelow(3)],
		)(o)
	}
	if c.isRare(12) {
		s.Spec.Workspace = &v1alpha1.WorkspaceRef{}
	}
	if c.isRare(12) {
		o.TemplateError = "a template"
	}
	if c.isRare(12) {
		o.SizeProblem = "too large"
	}
	if c.isRare(6) {
		s.Spec.Secret = &v1alpha1.GeneratedSecret{DeletionPolicy: v1alpha1.DeletionPolicyRetain}
	}
	o.Skew = []time.Duration{0, 0, time.Minute, -time.Hour}[c.chooseBelow(4)]
	o.SuppliedToken.Empty = c.isRare(6)
	if c.isRare(6) {
		o.SuppliedToken.Problem = "no such key"
	}
}

func (c *choices) changeDeployment(o *Observation) {
	d := &o.Deployment
	if c.isRare(3) {
		d.Result = c.chooseResult()
	}
	d.Found, d.Resolved, d.Settling = !c.isRare(12), !c.isRare(12), c.isRare(12)
	d.OwnToken, d.ByConnection = c.isRare(2), c.isRare(2)
	if c.isRare(12) {
		d.Denied = "no access rule"
	}
	if c.isRare(12) {
		d.Problem = "a key is missing"
	}
	if c.isRare(6) {
		d.User = nil
	}
	d.Interval = []time.Duration{interval, 0, time.Millisecond, 24 * time.Hour}[c.chooseBelow(4)]
}

func (c *choices) changeSecret(o *Observation) {
	switch c.chooseBelow(4) {
	case 0:
	case 1:
		o.Secret.Foreign = true
	default:
		o.Secret = Secret{Exists: true, InSync: !c.isRare(3), ValueGone: c.isRare(6), ResourceVersion: "1"}
		if c.isRare(8) {
			o.Secret.Corrupt = "an annotation"
			return
		}
		if c.isRare(6) {
			return
		}
		token := &Published{ID: c.chooseID(), Serial: int64(c.chooseBelow(6)), Fingerprint: []string{value,
			"other"}[c.chooseBelow(2)]}
		if !c.isRare(4) {
			token.SpecDigest = []string{o.SpecDigest, o.SpecDigest, "other"}[c.chooseBelow(3)]
		}
		if !c.isRare(6) {
			token.ExpiresAt = c.chooseTime()
		}
		o.Secret.Token = token
	}
}

func (c *choices) changeStatus(o *Observation) {
	s := &o.Session.Status
	if !c.isRare(3) {
		user := c.chooseUser()
		s.User = &user
	}
	if c.isRare(2) {
		s.Token = &v1alpha1.TokenStatus{
			ID: c.chooseID(), Serial: int64(c.chooseBelow(6)), Name: "cso", IssueTime: statusTime(c.chooseTime()),
			ExpirationTime: statusTime(c.chooseTime()),
		}
	}
	for range c.chooseBelow(4) {
		s.PendingRevocations = append(
			s.PendingRevocations, v1alpha1.PendingRevocation{ID: c.chooseID(), RevokeTime: *statusTime(c.chooseTime())},
		)
	}
	if c.isRare(2) {
		reasons := []string{
			v1alpha1.ReasonActive, v1alpha1.ReasonSuspended, v1alpha1.ReasonAwaitingDeployment, v1alpha1.ReasonPaused,
		}
		at := c.chooseBelow(4)
		withReady(at == 0, reasons[at])(o)
	}
}

// retention adds a retirement, past or future, and a renewal request.
func (c *choices) changeRetention(o *Observation) {
	s := o.Session
	if c.isRare(4) {
		s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: []string{"one", "two", ""}[c.chooseBelow(3)]}
		s.Status.LastHandledRenewAt = []string{"", "one"}[c.chooseBelow(2)]
		o.CredentialCheck.RenewalRequest = []string{"", "one", "two"}[c.chooseBelow(3)]
		if token := o.Secret.Token; token.Minted() {
			token.SpecDigest = withRenewalRequest(token.SpecDigest, []string{"", "one", "two"}[c.chooseBelow(3)])
		}
	}
	if c.isRare(5) {
		s.Status.Retirement = &v1alpha1.Retirement{
			Reason: v1alpha1.RetirementIdle, Message: "idle", StartTime: *statusTime(c.chooseTime()),
			LastActiveTime: *statusTime(c.chooseTime()), Generation: int64(c.chooseBelow(4) / 3),
		}
	}
	if c.isRare(2) {
		s.Status.LastActivityTime = statusTime(c.chooseTime())
	}
	switch c.chooseBelow(5) {
	case 3:
		o.Retention = RetentionDecision{
			Reason: v1alpha1.RetirementSessionLimit, Message: "no room", LastActiveTime: c.chooseTime(),
		}
	case 4:
		o.Retention = RetentionDecision{MayReturn: true}
	}
}

func (c *choices) changeServerTokens(o *Observation) {
	o.ServerTokens.Loaded, o.ServerTokens.UserSuspended = !c.isRare(3), c.isRare(6)
	if token := o.Secret.Token; token != nil && !c.isRare(3) {
		o.ServerTokens.Token = &Listed{
			ID: token.ID, Name: "cso", Serial: token.Serial, CreatedAt: c.chooseTime(), LastUsedAt: c.chooseTime(),
		}
	}
	for range c.chooseBelow(3) {
		o.ServerTokens.Others = append(
			o.ServerTokens.Others, Listed{ID: c.chooseID(), Name: "cso", Serial: int64(c.chooseBelow(8)),
				CreatedAt: c.chooseTime()},
		)
	}
	if !c.isRare(3) {
		o.TargetUser = TargetUser{
			Known: true, User: c.chooseUser(), Missing: c.isRare(6), Suspended: c.isRare(6),
			MaxLifetime: []time.Duration{0, time.Hour, 168 * time.Hour}[c.chooseBelow(3)],
		}
	}
	if !c.isRare(3) {
		r := c.chooseResult()
		if r.Outcome == authcheck.ConfigChanging || r.Outcome == authcheck.Unknown {
			r = accepted // what is not believed is not kept
		}
		checkedAs([]string{value, "", "other"}[c.chooseBelow(3)], 0, r)(o)
		o.CredentialCheck.Time = c.chooseTime()
		o.CredentialCheck.Failures = c.chooseBelow(30)
	}
}
