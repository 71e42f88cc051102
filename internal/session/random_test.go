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

func (c *choices) n(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

// rarely is true once in n times; never without bytes.
func (c *choices) rarely(n int) bool { return c.n(n) == n-1 && n > 1 }

func (c *choices) id() string { return fmt.Sprintf("t%d", c.n(6)) }

// at is a time around noon, to the millisecond.
func (c *choices) at() time.Time {
	spans := []time.Duration{
		-48 * time.Hour, -interval, -time.Second, 0, time.Millisecond, time.Minute, 8 * time.Hour, 24 * time.Hour,
	}
	return noon.Add(spans[c.n(len(spans))] + time.Duration(c.n(1000))*time.Millisecond)
}

func (c *choices) result() authcheck.Result {
	return []authcheck.Result{
		accepted, accepted, refused, unreachable, unsettling, {},
		{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonCertificateRejected, AboutCaller: true},
		{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonUnexpectedAnswer},
		{
			Outcome: authcheck.Unreachable, Reason: v1alpha1.ReasonRateLimited, Message: "wait 1.2s",
			RetryAfter: 90 * time.Second,
		},
	}[c.n(9)]
}

func (c *choices) user() v1alpha1.SessionUser {
	return []v1alpha1.SessionUser{
		{ID: "id-bot", Username: "bot"}, {ID: "id-ada", Username: "ada"}, {ID: "id-other", Username: "bot"},
	}[c.n(3)]
}

// observation is any that the controller could make, and some that it could not.
func (c *choices) observation() Observation {
	method := []option{withMint("bot"), withMint("bot"), withToken(), withCertificate(), withMint("me")}[c.n(5)]
	o := session("ci", method)
	c.spec(&o)
	c.deployment(&o)
	c.secret(&o)
	c.status(&o)
	c.server(&o)
	if c.rarely(4) {
		o.Failures = c.failures()
	}
	c.retention(&o)
	o.LostTokenSearched = c.rarely(3)
	if c.rarely(3) {
		o.RevokedTokens = []string{c.id()}
	}
	return o
}

// failures are one or two, of different actions.
func (c *choices) failures() failure.Set {
	actions := []Action{Mint, Revoke, DeleteSecret, FindLostToken, CheckCredential, Publish, RemoveFinalizer, failure.Observe}
	var set failure.Set
	for n, first := 1+c.n(2), c.n(len(actions)); n > 0; n-- {
		f := failure.Failure{
			Action: string(actions[(first+n)%len(actions)]), Class: failure.Class(c.n(7)),
			Reason:  []string{v1alpha1.ReasonUnreachable, v1alpha1.ReasonForbidden}[c.n(2)],
			Message: "no", RetryAfter: time.Duration(c.n(3)) * time.Minute,
		}
		if f.Class == failure.Wait {
			f.Message = "wait 1.2s"
		}
		set = append(set, f)
	}
	return set
}

func (c *choices) spec(o *Observation) {
	s := o.Session
	s.Spec.Paused = c.rarely(6)
	if c.rarely(6) {
		s.Finalizers = nil
	}
	if c.rarely(6) {
		at := metav1.NewTime(c.at())
		s.DeletionTimestamp = &at
	}
	if c.rarely(3) {
		withRotation(
			[]v1alpha1.Duration{"", "1h", "8h", "23h59m59s"}[c.n(4)], []v1alpha1.Duration{"1s", "5m", "48h"}[c.n(3)],
		)(o)
	}
	if c.rarely(12) {
		s.Spec.Workspace = &v1alpha1.WorkspaceRef{}
	}
	if c.rarely(12) {
		o.TemplateError = "a template"
	}
	if c.rarely(6) {
		s.Spec.Secret = &v1alpha1.GeneratedSecret{DeletionPolicy: v1alpha1.DeletionPolicyRetain}
	}
	o.Skew = []time.Duration{0, 0, time.Minute, -time.Hour}[c.n(4)]
	o.SuppliedToken.Empty = c.rarely(6)
	if c.rarely(6) {
		o.SuppliedToken.Problem = "no such key"
	}
}

func (c *choices) deployment(o *Observation) {
	d := &o.Deployment
	if c.rarely(3) {
		d.Result = c.result()
	}
	d.Found, d.Resolved, d.Settling = !c.rarely(12), !c.rarely(12), c.rarely(12)
	d.OwnToken, d.ByConnection = c.rarely(2), c.rarely(2)
	if c.rarely(12) {
		d.Denied = "no access rule"
	}
	if c.rarely(12) {
		d.Problem = "a key is missing"
	}
	if c.rarely(6) {
		d.User = nil
	}
	d.Interval = []time.Duration{interval, 0, time.Millisecond, 24 * time.Hour}[c.n(4)]
}

func (c *choices) secret(o *Observation) {
	switch c.n(4) {
	case 0:
	case 1:
		o.Secret.Foreign = true
	default:
		o.Secret = Secret{Exists: true, InSync: !c.rarely(3), ValueGone: c.rarely(6), ResourceVersion: "1"}
		if c.rarely(8) {
			o.Secret.Corrupt = "an annotation"
			return
		}
		if c.rarely(6) {
			return
		}
		token := &Published{ID: c.id(), Serial: int64(c.n(6)), Fingerprint: []string{value, "other"}[c.n(2)]}
		if !c.rarely(4) {
			token.SpecDigest = []string{o.SpecDigest, o.SpecDigest, "other"}[c.n(3)]
		}
		if !c.rarely(6) {
			token.ExpiresAt = c.at()
		}
		o.Secret.Token = token
	}
}

func (c *choices) status(o *Observation) {
	s := &o.Session.Status
	if !c.rarely(3) {
		user := c.user()
		s.User = &user
	}
	if c.rarely(2) {
		s.Token = &v1alpha1.TokenStatus{
			ID: c.id(), Serial: int64(c.n(6)), Name: "cso", IssueTime: statusTime(c.at()),
			ExpirationTime: statusTime(c.at()),
		}
	}
	for range c.n(4) {
		s.PendingRevocations = append(
			s.PendingRevocations, v1alpha1.PendingRevocation{ID: c.id(), RevokeTime: *statusTime(c.at())},
		)
	}
	if c.rarely(2) {
		reasons := []string{
			v1alpha1.ReasonActive, v1alpha1.ReasonSuspended, v1alpha1.ReasonAwaitingDeployment, v1alpha1.ReasonPaused,
		}
		at := c.n(4)
		ready(at == 0, reasons[at])(o)
	}
}

// retention adds a retirement, past or future, and a renewal request.
func (c *choices) retention(o *Observation) {
	s := o.Session
	if c.rarely(4) {
		s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: []string{"one", "two", ""}[c.n(3)]}
		s.Status.LastHandledRenewAt = []string{"", "one"}[c.n(2)]
		o.CredentialCheck.RenewalRequest = []string{"", "one", "two"}[c.n(3)]
		if token := o.Secret.Token; token.Minted() {
			token.SpecDigest = withRenewalRequest(token.SpecDigest, []string{"", "one", "two"}[c.n(3)])
		}
	}
	if c.rarely(5) {
		s.Status.Retirement = &v1alpha1.Retirement{
			Reason: v1alpha1.RetirementIdle, Message: "idle", StartTime: *statusTime(c.at()),
			LastActiveTime: *statusTime(c.at()), Generation: int64(c.n(4) / 3),
		}
	}
	if c.rarely(2) {
		s.Status.LastActivityTime = statusTime(c.at())
	}
	switch c.n(5) {
	case 3:
		o.Retention = RetentionDecision{
			Reason: v1alpha1.RetirementSessionLimit, Message: "no room", LastActiveTime: c.at(),
		}
	case 4:
		o.Retention = RetentionDecision{MayReturn: true}
	}
}

func (c *choices) server(o *Observation) {
	o.ServerTokens.Loaded, o.ServerTokens.UserSuspended = !c.rarely(3), c.rarely(6)
	if token := o.Secret.Token; token != nil && !c.rarely(3) {
		o.ServerTokens.Token = &Listed{
			ID: token.ID, Name: "cso", Serial: token.Serial, CreatedAt: c.at(), LastUsedAt: c.at(),
		}
	}
	for range c.n(3) {
		o.ServerTokens.Others = append(
			o.ServerTokens.Others, Listed{ID: c.id(), Name: "cso", Serial: int64(c.n(8)), CreatedAt: c.at()},
		)
	}
	if !c.rarely(3) {
		o.TargetUser = TargetUser{
			Known: true, User: c.user(), Missing: c.rarely(6), Suspended: c.rarely(6),
			MaxLifetime: []time.Duration{0, time.Hour, 168 * time.Hour}[c.n(3)],
		}
	}
	if !c.rarely(3) {
		r := c.result()
		if r.Outcome == authcheck.ConfigChanging || r.Outcome == authcheck.Unknown {
			r = accepted // what is not believed is not kept
		}
		checkedAs([]string{value, "", "other"}[c.n(3)], 0, r)(o)
		o.CredentialCheck.Time = c.at()
		o.CredentialCheck.Failures = c.n(30)
	}
}
