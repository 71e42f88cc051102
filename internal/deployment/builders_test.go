// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

const (
	each     = 5 * time.Minute
	settings = "hmac-sha256:settings"
)

var (
	accepted = authcheck.Result{Outcome: authcheck.Accepted}
	refused  = authcheck.Result{
		Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonUnauthorized, Message: "401", AboutCaller: true,
	}
	elsewhere = authcheck.Result{
		Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonUnexpectedAnswer, Message: "HTML", NotFromServer: true,
	}
	unreachable = authcheck.Result{
		Outcome: authcheck.Unreachable, Reason: v1alpha1.ReasonUnreachable, Message: "no route",
	}
)

type option func(*Observation)

// newDeployment is an observation of a deployment that has its finalizer and resolved settings, and
// was not verified yet.
func newDeployment(name string, options ...option) Observation {
	o := Observation{
		Now: noon,
		Deployment: &v1alpha1.CoderDeployment{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "coder", Name: name, Generation: 3, Finalizers: []string{v1alpha1.DeploymentFinalizer},
			},
		},
		Config: Config{Fingerprint: settings},
	}
	for _, apply := range options {
		apply(&o)
	}
	return o
}

// withVerification sets the server's answer, given so long ago.
func withVerification(r authcheck.Result, ago time.Duration) option {
	return func(o *Observation) {
		o.Verification = Verification{Time: o.Now.Add(-ago), Fingerprint: settings, Result: r}
		if r.OK() {
			o.Verification.DeploymentID, o.Verification.Version = "id", "v2"
			o.Verification.User = &v1alpha1.DeploymentUser{
				ID: "id-operator", Username: "operator", Roles: []string{"owner"},
			}
			o.TokenListing = TokenListing{Time: o.Verification.Time, Result: accepted}
		}
		if r.Outcome == authcheck.Unreachable {
			o.Verification.Failures = 1
		}
	}
}

// withMintingSession adds a session that needs a token list, which was made so long ago.
func withMintingSession(r authcheck.Result, ago time.Duration) option {
	return func(o *Observation) {
		o.Sessions = Sessions{Minting: true, Counts: v1alpha1.SessionCounts{Total: 1}, Allowed: []string{"builds/ci"}}
		o.TokenListing = TokenListing{Time: o.Now.Add(-ago), Result: r}
		if !r.OK() {
			o.TokenListing.Failures = 1
		}
	}
}

// withSessions sets how many sessions there are, and those that a deletion may wait for, for a minute.
func withSessions(total int32, allowed, holding []string) option {
	return func(o *Observation) {
		o.RevocationTimeout = time.Minute
		o.Sessions = Sessions{Counts: v1alpha1.SessionCounts{Total: total}, Allowed: allowed, Holding: holding}
	}
}

func later(d time.Duration) option { return func(o *Observation) { o.Now = o.Now.Add(d) } }

// withoutTokenList removes the token list.
func withoutTokenList(o *Observation) { o.TokenListing = TokenListing{} }

func withProblem(missing bool, message string) option {
	return func(o *Observation) {
		o.Config.Fingerprint = ""
		o.Config.Problems = append(o.Config.Problems, Problem{Missing: missing, Message: message})
	}
}

func withDeletion(o *Observation) {
	at := metav1.NewTime(noon)
	o.Deployment.DeletionTimestamp = &at
}

func noFinalizer(o *Observation) { o.Deployment.Finalizers = nil }

// outcome is a plan as the tables write it.
type outcome struct {
	Do       Action
	Keep     bool
	Ready    string // status and reason
	Resolved string
	Verified string
	Wake     time.Duration
}

func outcomeOf(o Observation, p Plan) outcome {
	got := outcome{Do: p.Action, Keep: p.SkipStatusUpdate}
	for _, c := range p.Conditions {
		reported := string(c.Status) + " " + c.Reason
		switch c.Type {
		case v1alpha1.ConditionReady:
			got.Ready = reported
		case v1alpha1.ConditionConfigResolved:
			got.Resolved = reported
		case v1alpha1.ConditionVerified:
			got.Verified = reported
		}
	}
	if !p.RequeueAt.IsZero() {
		got.Wake = p.RequeueAt.Sub(o.Now)
	}
	return got
}

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
