// SPDX-License-Identifier: Apache-2.0

package session

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// noon is the time of all observations that set no other time.
var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

const (
	interval = 5 * time.Minute
	settings = "hmac-sha256:settings"
	value    = "hmac-sha256:value"
)

var (
	accepted = authcheck.Result{Outcome: authcheck.Accepted}
	refused  = authcheck.Result{
		Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonUnauthorized, Message: "the server says 401",
		AboutCaller: true,
	}
	unreachable = authcheck.Result{
		Outcome: authcheck.Unreachable, Reason: v1alpha1.ReasonUnreachable, Message: "no route",
	}
	unsettling = authcheck.Result{Outcome: authcheck.ConfigChanging}
)

// option changes the observation that session returns.
type option func(*Observation)

// session is an observation of a session with its finalizer, of a verified deployment, and without
// a Secret. Options add the rest.
func newSession(name string, options ...option) Observation {
	o := Observation{
		Now: noon,
		Session: &v1alpha1.CoderSession{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "builds", Name: name, Finalizers: []string{v1alpha1.SessionFinalizer},
			},
			Spec: v1alpha1.CoderSessionSpec{DeploymentRef: v1alpha1.DeploymentRef{Name: "prod"}},
		},
		RevocationTimeout: 10 * time.Minute,
		Deployment: Deployment{
			Found: true, Resolved: true, Result: accepted, OwnToken: true, Fingerprint: settings, Interval: interval,
			User: &v1alpha1.SessionUser{ID: "id-operator", Username: "operator"},
		},
	}
	for _, apply := range options {
		apply(&o)
	}
	if o.SpecDigest == "" {
		o.SpecDigest = SpecDigest(o.Session.Spec.Auth.Mint, "")
	}
	return o
}

func withMint(user string) option {
	return func(o *Observation) {
		o.Session.Spec.Auth = v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: user, Lifetime: "24h"}}
	}
}

func withLifetime(d v1alpha1.Duration) option {
	return func(o *Observation) { o.Session.Spec.Auth.Mint.Lifetime = d }
}

func withRotation(renewBefore, overlap v1alpha1.Duration) option {
	return func(o *Observation) {
		o.Session.Spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
		if renewBefore != "" {
			o.Session.Spec.Rotation.RenewBefore = &renewBefore
		}
	}
}

// withToken adds a supplied token that is present.
func withToken() option {
	return func(o *Observation) {
		ref := v1alpha1.TokenSecretRef{Name: "mine", Key: "token"}
		o.Session.Spec.Auth = v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{SecretRef: ref}}
		o.SuppliedToken = SuppliedToken{ID: "supplied", Fingerprint: value}
	}
}

// withCertificate makes the connection identify the caller, without a token.
func withCertificate() option {
	return func(o *Observation) {
		o.Session.Spec.Auth = v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}
		o.Deployment.OwnToken, o.Deployment.ByConnection = false, true
	}
}

// withRecordedUser records the user that the session was for before.
func withRecordedUser(id, username string) option {
	return func(o *Observation) { o.Session.Status.User = &v1alpha1.SessionUser{ID: id, Username: username} }
}

// lookedUp sets the user that the server found for the name.
func lookedUp(id, username string) option {
	return func(o *Observation) {
		o.TargetUser = TargetUser{Known: true, User: v1alpha1.SessionUser{ID: id, Username: username}}
	}
}

// published is a token that was minted so long ago, for 24 hours, with its Secret, status and entry
// in the token list.
func withPublishedToken(id string, serial int64, age time.Duration) option {
	return func(o *Observation) {
		issued := o.Now.Add(-age)
		end := issued.Add(24 * time.Hour)
		mint := o.Session.Spec.Auth.Mint
		o.Secret = Secret{
			Exists: true, InSync: true, ResourceVersion: "7", Fingerprint: "hmac-sha256:all",
			Token: &Published{
				ID: id, Serial: serial, ExpiresAt: end, SpecDigest: SpecDigest(mint, ""),
				Fingerprint: "hmac-sha256:" + id,
			},
		}
		o.ServerTokens.Loaded = true
		o.ServerTokens.Token = &Listed{
			ID: id, Name: "cso-" + id, Serial: serial, CreatedAt: issued, Scopes: []string{"coder:all"},
		}
		o.Session.Status.Token = &v1alpha1.TokenStatus{
			ID: id, Name: "cso-" + id, Serial: serial, IssueTime: statusTime(issued), ExpirationTime: statusTime(end),
			Scopes: []string{"coder:all"},
		}
		o.Session.Status.User = &v1alpha1.SessionUser{ID: "id-" + mint.User, Username: mint.User}
		withReady(true, v1alpha1.ReasonActive)(o)
	}
}

// checkedAs sets the server's answer about the credential, given so long ago.
func checkedAs(credential string, ago time.Duration, r authcheck.Result) option {
	return func(o *Observation) {
		o.CredentialCheck = CredentialCheck{
			Time: o.Now.Add(-ago), Credential: credential, Settings: settings, Result: r,
		}
		if r.OK() {
			o.CredentialCheck.User = &v1alpha1.SessionUser{ID: "id-ada", Username: "ada"}
		}
		if r.Outcome == authcheck.Unreachable {
			o.CredentialCheck.Failures = 1
		}
	}
}

// publishedSupplied makes the Secret hold the supplied token with this fingerprint.
func publishedSupplied(fingerprint string) option {
	return func(o *Observation) {
		o.Secret = Secret{Exists: true, InSync: true, Token: &Published{ID: "supplied", Fingerprint: fingerprint}}
		withReady(true, v1alpha1.ReasonActive)(o)
	}
}

// publishedPlain is a Secret without a token.
func publishedPlain() option {
	return func(o *Observation) {
		o.Secret = Secret{Exists: true, InSync: true}
		withReady(true, v1alpha1.ReasonActive)(o)
	}
}

// ready sets the previous Ready condition.
func withReady(is bool, reason string) option {
	return func(o *Observation) {
		status := metav1.ConditionFalse
		if is {
			status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&o.Session.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: "as it was",
			LastTransitionTime: metav1.NewTime(noon),
		})
		if reason == v1alpha1.ReasonSuspended {
			o.Session.Status.Suspension = &v1alpha1.Suspension{
				Reason: v1alpha1.ReasonUnauthorized, StartTime: metav1.NewTime(noon.Add(-time.Hour)),
			}
		}
	}
}

// retires adds a token to status that is to be revoked after so long.
func withPendingRevocation(id string, in time.Duration) option {
	return func(o *Observation) {
		o.Session.Status.PendingRevocations = append(
			o.Session.Status.PendingRevocations,
			v1alpha1.PendingRevocation{ID: id, Name: "cso-" + id, RevokeTime: metav1.NewTime(o.Now.Add(in))},
		)
	}
}

// alsoListed adds another token of the session to the server's list.
func alsoListed(id string, serial int64) option {
	return func(o *Observation) {
		o.ServerTokens.Others = append(o.ServerTokens.Others, Listed{ID: id, Name: "cso-" + id, Serial: serial})
	}
}

func failedTo(action Action, class failure.Class, reason string) option {
	return func(o *Observation) {
		o.Failures = failure.Set{{Action: string(action), Class: class, Reason: reason, Message: "it did not work"}}
	}
}

// withOutage makes the server unreachable, for so long that all sessions say so.
func withOutage() option { return withNotReady(func(d *Deployment) { d.Result = unreachable }) }

// withNotReady makes the deployment not ready, for so long that all sessions say so.
func withNotReady(change func(*Deployment)) option {
	return withDeployment(func(d *Deployment) {
		d.NotReadySince = noon.Add(-time.Hour)
		change(d)
	})
}

func withDeployment(change func(*Deployment)) option {
	return func(o *Observation) { change(&o.Deployment) }
}

func withSecret(change func(*Secret)) option { return func(o *Observation) { change(&o.Secret) } }

func withSpec(change func(*v1alpha1.CoderSessionSpec)) option {
	return func(o *Observation) { change(&o.Session.Spec) }
}

func withDeletion(ago time.Duration) option {
	return func(o *Observation) {
		at := metav1.NewTime(o.Now.Add(-ago))
		o.Session.DeletionTimestamp = &at
	}
}

// tokenEnded makes status name a token that has expired.
func tokenEnded(o *Observation) {
	at := metav1.NewTime(o.Now.Add(-time.Second))
	o.Session.Status.Token.ExpirationTime = &at
}

func createdAgo(age time.Duration) option {
	return func(o *Observation) { o.Session.CreationTimestamp = metav1.NewTime(o.Now.Add(-age)) }
}

func noFinalizer(o *Observation)         { o.Session.Finalizers = nil }
func withPause(o *Observation)           { o.Session.Spec.Paused = true }
func statusForgotten(o *Observation)     { o.Session.Status = v1alpha1.CoderSessionStatus{} }
func withoutServerTokens(o *Observation) { o.ServerTokens = ServerTokens{} }

// outcome is a plan as the tables write it. The conditions of a plan with an action are left out,
// because the next decision sets them again.
type outcome struct {
	Do       Action
	Serial   int64         // of Mint and FindLostToken
	Lifetime time.Duration // of Mint
	Revoke   []string

	Keep, Backoff, RevokeAll bool

	// Status and reason, such as "True Active". Empty: unchanged; "absent": removed.
	Ready, Authenticated, Synced, Cut string
	Suspended                         string // the reason
	Wake                              time.Duration
	Pending                           map[string]time.Duration // tokens pending revocation, with the time until then
	Abandoned                         []string
}

func outcomeOf(o Observation, p Plan) outcome {
	got := outcome{
		Do: p.Action, Serial: p.Mint.Serial, Lifetime: p.Mint.Lifetime, Keep: p.SkipStatusUpdate || p.KeepStatus,
		Backoff: p.Backoff, RevokeAll: p.RevokeAll, Abandoned: p.Abandoned,
	}
	if p.Action != Nothing {
		for _, token := range p.Revoke {
			got.Revoke = append(got.Revoke, token.ID)
		}
		got.Backoff, got.RevokeAll = false, false
		return got
	}
	reported := func(conditionType string) string {
		if c := p.findCondition(conditionType); c != nil {
			return string(c.Status) + " " + c.Reason
		}
		if slices.Contains(p.ConditionsToRemove, conditionType) {
			return "absent"
		}
		return ""
	}
	got.Ready, got.Authenticated = reported(v1alpha1.ConditionReady), reported(v1alpha1.ConditionAuthenticated)
	got.Synced, got.Cut = reported(v1alpha1.ConditionSecretSynced), reported(v1alpha1.ConditionLifetimeCut)
	if p.Suspension != nil {
		got.Suspended = p.Suspension.Reason
	}
	if !p.RequeueAt.IsZero() {
		got.Wake = p.RequeueAt.Sub(o.Now)
	}
	for _, t := range p.PendingRevocations {
		if got.Pending == nil {
			got.Pending = map[string]time.Duration{}
		}
		got.Pending[t.ID] = t.RevokeTime.Sub(o.Now)
	}
	return got
}

// row is an observation and the outcome that is expected for it.
type row struct {
	seen Observation
	want outcome
}

func checkRows(t *testing.T, rows map[string]row) {
	t.Helper()
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(row.want, outcomeOf(row.seen, Decide(row.seen))); diff != "" {
				t.Errorf("unexpected plan (-want +got):\n%s", diff)
			}
		})
	}
}

// activeOutcome is the outcome of a session with nothing wrong.
func activeOutcome(wake time.Duration) outcome {
	return outcome{
		Ready: "True Active", Authenticated: "absent", Synced: "absent", Cut: "absent", Wake: wake,
	}
}

// diffStatus compares two statuses as the API server would store them.
func diffStatus(a, b v1alpha1.CoderSessionStatus) string {
	a, b = storeStatus(a), storeStatus(b)
	if reflect.DeepEqual(a, b) {
		return "" // cmp is for people, and slow
	}
	return cmp.Diff(a, b)
}

// stored returns what the API server would return: times in whole seconds, no empty values.
func storeStatus(status v1alpha1.CoderSessionStatus) v1alpha1.CoderSessionStatus {
	text, err := json.Marshal(status)
	if err != nil {
		panic(err)
	}
	var back v1alpha1.CoderSessionStatus
	if err := json.Unmarshal(text, &back); err != nil {
		panic(err)
	}
	return back
}
