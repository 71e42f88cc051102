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
)

// noon is the time of all observations that say nothing else.
var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

const (
	interval = 5 * time.Minute
	settings = "hmac-sha256:settings"
	value    = "hmac-sha256:value"
)

var (
	accepted    = authcheck.Result{Outcome: authcheck.Accepted}
	refused     = authcheck.Result{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonUnauthorized, Message: "the server says 401", AboutCaller: true}
	unreachable = authcheck.Result{Outcome: authcheck.Unreachable, Reason: v1alpha1.ReasonUnreachable, Message: "no route"}
	unsettling  = authcheck.Result{Outcome: authcheck.ConfigChanging}
)

// option describes a difference from what session returns.
type option func(*Observation)

// session is an observation of a session that has its finalizer, of a deployment
// that is verified, and of no Secret. What it asks for, and what there is, the
// options say.
func session(name string, options ...option) Observation {
	o := Observation{
		Now: noon,
		Session: &v1alpha1.CoderSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: name, Finalizers: []string{v1alpha1.SessionFinalizer}},
			Spec:       v1alpha1.CoderSessionSpec{DeploymentRef: v1alpha1.DeploymentRef{Name: "prod"}},
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

// withToken is a session with a supplied token that is there.
func withToken() option {
	return func(o *Observation) {
		ref := v1alpha1.TokenSecretRef{Name: "mine", Key: "token"}
		o.Session.Spec.Auth = v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{SecretRef: ref}}
		o.SuppliedToken = SuppliedToken{ID: "supplied", Fingerprint: value}
	}
}

// withCertificate is a session of a deployment that identifies the caller by its
// connection, and has no token.
func withCertificate() option {
	return func(o *Observation) {
		o.Session.Spec.Auth = v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}
		o.Deployment.OwnToken, o.Deployment.ByConnection = false, true
	}
}

// pinned says that the session was for this user before.
func pinned(id, username string) option {
	return func(o *Observation) { o.Session.Status.User = &v1alpha1.SessionUser{ID: id, Username: username} }
}

// lookedUp says whom the server found for the name.
func lookedUp(id, username string) option {
	return func(o *Observation) {
		o.TargetUser = TargetUser{Known: true, User: v1alpha1.SessionUser{ID: id, Username: username}}
	}
}

// published is a token that was minted so long ago, for 24 hours, with all that
// belongs to it in place: Secret, status, list.
func published(id string, serial int64, age time.Duration) option {
	return func(o *Observation) {
		issued := o.Now.Add(-age)
		end := issued.Add(24 * time.Hour)
		mint := o.Session.Spec.Auth.Mint
		o.Secret = Secret{
			Exists: true, InSync: true, ResourceVersion: "7", Fingerprint: "hmac-sha256:all",
			Token: &Published{ID: id, Serial: serial, ExpiresAt: end, SpecDigest: SpecDigest(mint, ""), Fingerprint: "hmac-sha256:" + id},
		}
		o.ServerTokens.Loaded = true
		o.ServerTokens.Token = &Listed{ID: id, Name: "cso-" + id, Serial: serial, CreatedAt: issued, Scopes: []string{"coder:all"}}
		o.Session.Status.Token = &v1alpha1.TokenStatus{
			ID: id, Name: "cso-" + id, Serial: serial, IssueTime: stamp(issued), ExpirationTime: stamp(end), Scopes: []string{"coder:all"},
		}
		o.Session.Status.User = &v1alpha1.SessionUser{ID: "id-" + mint.User, Username: mint.User}
		ready(true, v1alpha1.ReasonActive)(o)
	}
}

// checkedAs says that the server was asked about the credential so long ago.
func checkedAs(credential string, ago time.Duration, v authcheck.Result) option {
	return func(o *Observation) {
		o.CredentialCheck = CredentialCheck{Time: o.Now.Add(-ago), Credential: credential, Settings: settings, Result: v}
		if v.OK() {
			o.CredentialCheck.User = &v1alpha1.SessionUser{ID: "id-ada", Username: "ada"}
		}
		if v.Outcome == authcheck.Unreachable {
			o.CredentialCheck.Failures = 1
		}
	}
}

// publishedSupplied says that the Secret holds the supplied token with this
// fingerprint.
func publishedSupplied(fingerprint string) option {
	return func(o *Observation) {
		o.Secret = Secret{Exists: true, InSync: true, Token: &Published{ID: "supplied", Fingerprint: fingerprint}}
		ready(true, v1alpha1.ReasonActive)(o)
	}
}

// publishedPlain says that the Secret holds no token.
func publishedPlain() option {
	return func(o *Observation) {
		o.Secret = Secret{Exists: true, InSync: true}
		ready(true, v1alpha1.ReasonActive)(o)
	}
}

// ready says what Ready was before.
func ready(is bool, reason string) option {
	return func(o *Observation) {
		status := metav1.ConditionFalse
		if is {
			status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&o.Session.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: "as it was", LastTransitionTime: metav1.NewTime(noon),
		})
		if reason == v1alpha1.ReasonSuspended {
			o.Session.Status.Suspension = &v1alpha1.Suspension{Reason: v1alpha1.ReasonUnauthorized, StartTime: metav1.NewTime(noon.Add(-time.Hour))}
		}
	}
}

// retires says that status lists a token that goes after so long.
func retires(id string, in time.Duration) option {
	return func(o *Observation) {
		o.Session.Status.PendingRevocations = append(o.Session.Status.PendingRevocations, v1alpha1.PendingRevocation{ID: id, Name: "cso-" + id, RevokeTime: metav1.NewTime(o.Now.Add(in))})
	}
}

// alsoListed says that the server has another token of the session's.
func alsoListed(id string, serial int64) option {
	return func(o *Observation) {
		o.ServerTokens.Others = append(o.ServerTokens.Others, Listed{ID: id, Name: "cso-" + id, Serial: serial})
	}
}

func failedTo(action Action, class FailureClass, reason string) option {
	return func(o *Observation) {
		o.Failure = &Failure{Action: action, Class: class, Reason: reason, Message: "it did not work"}
	}
}

func deployment(change func(*Deployment)) option {
	return func(o *Observation) { change(&o.Deployment) }
}

func secret(change func(*Secret)) option { return func(o *Observation) { change(&o.Secret) } }

func spec(change func(*v1alpha1.CoderSessionSpec)) option {
	return func(o *Observation) { change(&o.Session.Spec) }
}

func deleted(ago time.Duration) option {
	return func(o *Observation) {
		at := metav1.NewTime(o.Now.Add(-ago))
		o.Session.DeletionTimestamp = &at
	}
}

func noFinalizer(o *Observation)     { o.Session.Finalizers = nil }
func suspend(o *Observation)         { o.Session.Spec.Paused = true }
func statusForgotten(o *Observation) { o.Session.Status = v1alpha1.CoderSessionStatus{} }
func unlisted(o *Observation)        { o.ServerTokens = ServerTokens{} }

// outcome is a plan as the tables write it. What a plan with an action says is of
// no account, because the next look says it anew.
type outcome struct {
	Do       Action
	Serial   int64         // of Mint and Sweep
	Lifetime time.Duration // of Mint
	Revoke   []string

	Keep, Again, Backoff, Strip bool

	// Status and reason, such as "True Active". Empty: left as it was; "absent".
	Ready, Authenticated, Synced, Cut string
	Suspended                         string // the reason
	Wake                              time.Duration
	Retiring                          map[string]time.Duration
	Abandoned                         []string
}

func outcomeOf(o Observation, p Plan) outcome {
	got := outcome{
		Do: p.Action, Serial: p.Mint.Serial, Lifetime: p.Mint.Lifetime, Keep: p.SkipStatusUpdate, Again: p.RequeueNow, Backoff: p.Backoff, Strip: p.RevokeAll, Abandoned: p.Abandoned,
	}
	if p.Action != Nothing {
		for _, doomed := range p.Revoke {
			got.Revoke = append(got.Revoke, doomed.ID)
		}
		got.Backoff, got.Strip = false, false
		return got
	}
	say := func(conditionType string) string {
		if c := p.condition(conditionType); c != nil {
			return string(c.Status) + " " + c.Reason
		}
		if slices.Contains(p.ConditionsToRemove, conditionType) {
			return "absent"
		}
		return ""
	}
	got.Ready, got.Authenticated = say(v1alpha1.ConditionReady), say(v1alpha1.ConditionAuthenticated)
	got.Synced, got.Cut = say(v1alpha1.ConditionSecretSynced), say(v1alpha1.ConditionLifetimeCut)
	if p.Suspension != nil {
		got.Suspended = p.Suspension.Reason
	}
	if !p.RequeueAt.IsZero() {
		got.Wake = p.RequeueAt.Sub(o.Now)
	}
	for _, t := range p.PendingRevocations {
		if got.Retiring == nil {
			got.Retiring = map[string]time.Duration{}
		}
		got.Retiring[t.ID] = t.RevokeTime.Sub(o.Now)
	}
	return got
}

// row is what is seen, and what comes of it.
type row struct {
	seen Observation
	want outcome
}

func check(t *testing.T, rows map[string]row) {
	t.Helper()
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(row.want, outcomeOf(row.seen, Decide(row.seen))); diff != "" {
				t.Errorf("the plan is another (-want +got):\n%s", diff)
			}
		})
	}
}

// active is the outcome of a session with nothing wrong.
func activeOutcome(wake time.Duration) outcome {
	return outcome{Ready: "True Active", Authenticated: "True Accepted", Synced: "True Synced", Cut: "absent", Wake: wake}
}

// diffStatus compares what the API server would store of two statuses.
func diffStatus(a, b v1alpha1.CoderSessionStatus) string {
	a, b = stored(a), stored(b)
	if reflect.DeepEqual(a, b) {
		return "" // cmp is for people, and slow
	}
	return cmp.Diff(a, b)
}

// stored is what comes back from the API server: times in whole seconds, nothing
// for what is empty.
func stored(status v1alpha1.CoderSessionStatus) v1alpha1.CoderSessionStatus {
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
