// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

func TestUnreachableDoesNotMakeAGoodCredentialBad(t *testing.T) {
	t.Parallel()
	down := withOutage()
	with := func(options ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, time.Hour), down},
			options...)...)
	}
	stays := outcome{Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "absent", Wake: interval}
	gone := outcome{Ready: "False AwaitingDeployment", Authenticated: "absent", Synced: "absent", Wake: interval}
	noSecret := outcome{Ready: "False AwaitingDeployment", Authenticated: "absent", Synced: "absent", Wake: interval}
	but := func(o outcome, change func(*outcome)) outcome {
		change(&o)
		return o
	}
	checkRows(t, map[string]row{
		"Ready stays": {with(), stays},
		"Suspended stays": {
			with(withReady(false, v1alpha1.ReasonSuspended)),
			but(stays, func(o *outcome) { o.Ready, o.Suspended = "False Suspended", "Unauthorized" }),
		},
		"what was not ready for another reason now waits for the deployment": {
			with(withReady(false, v1alpha1.ReasonConfigInvalid)), but(
				stays, func(o *outcome) { o.Ready = "False AwaitingDeployment" },
			),
		},
		"the end of the token is a time to look": {
			with(func(o *Observation) { o.Secret.Token.ExpiresAt = o.Now.Add(time.Minute) }),
			but(stays, func(o *outcome) { o.Wake = time.Minute }),
		},
		"B53 the end by the server's clock": {
			with(func(o *Observation) { o.Secret.Token.ExpiresAt, o.Skew = o.Now.Add(3*time.Minute), time.Minute }),
			but(stays, func(o *outcome) { o.Wake = 2 * time.Minute }),
		},
		"after its end it is not ready, and there is no hurry": {
			with(func(o *Observation) { o.Secret.Token.ExpiresAt = o.Now }), gone,
		},
		"B53 ended for a server that is ahead": {with(func(o *Observation) { o.Skew = 24 * time.Hour }), gone},
		"a token without an end stays ready": {
			with(func(o *Observation) { o.Secret.Token.ExpiresAt = time.Time{} }), stays,
		},
		"the Secret is gone": {
			with(withSecret(func(s *Secret) { *s = Secret{} })),
			but(
				noSecret,
				func(o *outcome) { o.Wake, o.Pending = interval, map[string]time.Duration{"t4": 5 * time.Minute} },
			),
		},
		"the value is gone": {with(withSecret(func(s *Secret) { s.ValueGone = true })), gone},
		"B25 the Secret is corrupt, which is a condition": {
			newSession(
				"ci", withMint("bot"), down,
				withSecret(func(s *Secret) { s.Exists, s.Corrupt = true, "annotation x cannot be read" }),
			),
			but(gone, func(o *outcome) { o.Synced = "False ReferenceInvalid" }),
		},
		"the deployment does not exist": {
			with(withDeployment(func(d *Deployment) { *d = Deployment{} })),
			but(stays, func(o *outcome) { o.Authenticated = "Unknown AwaitingDeployment" }),
		},
		"B14 the deployment does not exist yet": {
			newSession("ci", withMint("bot"), withDeployment(func(d *Deployment) { *d = Deployment{} })), noSecret,
		},
		"B12 the deployment's settings are broken": {
			newSession(
				"ci", withMint("bot"),
				withDeployment(func(d *Deployment) { d.Problem, d.Result = "no key", authcheck.Result{} }),
			), noSecret,
		},
	})
}

func TestFailures(t *testing.T) {
	t.Parallel()
	with := func(options ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, 20*time.Hour)}, options...)...)
	}
	none := func(class failure.Class, reason string) Observation {
		return newSession("ci", withMint("bot"), lookedUp("u", "bot"), failedTo(Mint, class, reason))
	}
	checkRows(t, map[string]row{
		"B08 met settings that change: status stays as it is": {
			with(failedTo(Mint, failure.ConfigChanging, "")), outcome{Keep: true, Wake: time.Second},
		},
		"transient: Ready stays": {
			with(failedTo(Mint, failure.Transient, "")),
			outcome{
				Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "absent",
				Wake: interval,
			},
		},
		"transient, with nothing published": {
			none(failure.Transient, ""), outcome{
				Ready: "False AwaitingDeployment", Authenticated: "absent", Synced: "absent",
				Wake: interval,
			},
		},
		"B46 the operator is refused: Ready stays, nothing is tried until the next interval": {
			with(failedTo(Mint, failure.Denied, v1alpha1.ReasonUnauthorized)),
			outcome{Ready: "True Active", Authenticated: "Unknown Unauthorized", Synced: "absent", Wake: interval},
		},
		"the operator is refused for no known reason": {
			with(failedTo(Mint, failure.Denied, "")),
			outcome{
				Ready: "True Active", Authenticated: "Unknown AwaitingDeployment", Synced: "absent",
				Wake: interval,
			},
		},
		"the server finds the request invalid": {
			with(failedTo(Mint, failure.Config, "")), outcome{Ready: "False ConfigInvalid", Wake: interval},
		},
		"B111 the API server refuses the Secret: Ready stays": {
			with(failedTo(Mint, failure.Refused, v1alpha1.ReasonAPIServerRefused)),
			outcome{Ready: "True Active", Synced: "False APIServerRefused", Wake: interval},
		},
		"B111 the API server refuses the Secret, with nothing published": {
			none(failure.Refused, v1alpha1.ReasonAPIServerRefused),
			outcome{Ready: "False APIServerRefused", Synced: "False APIServerRefused", Wake: interval},
		},
		"B111 the API server refuses the Secret, and the token has expired": {
			newSession("ci", withMint("bot"), withPublishedToken("t4", 4, 25*time.Hour),
				failedTo(Mint, failure.Refused, v1alpha1.ReasonAPIServerRefused)),
			outcome{Ready: "False APIServerRefused", Synced: "False APIServerRefused", Wake: interval},
		},
		"B111 the API server does not answer": {
			none(failure.Unavailable, v1alpha1.ReasonAPIServerUnavailable),
			outcome{Ready: "False APIServerUnavailable", Synced: "False APIServerUnavailable", Wake: interval},
		},
		"a template fails with the real token": {
			with(failedTo(Mint, failure.Config, v1alpha1.ReasonTemplateInvalid)),
			outcome{Ready: "False ConfigInvalid", Synced: "False TemplateInvalid", Wake: interval},
		},
		"B111 something cannot be read: status stays": {
			with(failedTo(failure.Observe, failure.Refused, v1alpha1.ReasonAPIServerRefused)),
			outcome{Keep: true, Synced: "Unknown APIServerRefused", Wake: interval},
		},
		"B111 something cannot be read, and there is no status": {
			newSession("ci", withMint("bot"), statusForgotten,
				failedTo(failure.Observe, failure.Refused, v1alpha1.ReasonAPIServerRefused)),
			outcome{Keep: true, Ready: "False APIServerRefused", Synced: "Unknown APIServerRefused", Wake: interval},
		},
		"B111 something cannot be read, and the token in status has expired": {
			with(failedTo(failure.Observe, failure.Unavailable, v1alpha1.ReasonAPIServerUnavailable), tokenEnded),
			outcome{Keep: true, Ready: "False APIServerUnavailable", Wake: interval},
		},
		"B52 the server asks to wait": {
			with(failedTo(Mint, failure.Wait, "")),
			outcome{
				Ready: "True Active", Authenticated: "Unknown RateLimited", Synced: "absent",
				Wake: interval,
			},
		},
	})
}

func TestSuspendedSince(t *testing.T) {
	t.Parallel()
	before := noon.Add(-time.Hour)
	for name, tc := range map[string]struct {
		reason string
		want   time.Time
	}{
		"B94 the same reason goes on":   {v1alpha1.ReasonUnauthorized, before},
		"another reason is another one": {v1alpha1.ReasonUserSuspended, noon},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newSession("ci", withToken(), checkedAs(value, 0, refused), withReady(false, v1alpha1.ReasonSuspended))
			o.CredentialCheck.Result.Reason = tc.reason
			if got := Decide(o).Suspension.StartTime.Time; !got.Equal(tc.want) {
				t.Errorf("suspended since %s, want %s", got, tc.want)
			}
		})
	}
}

// A Secret that is to hold the certificates of a deployment says so if that has none.
func TestCertificatesThatAreMissing(t *testing.T) {
	t.Parallel()
	with := func(options ...option) Observation {
		return newSession("ci", append([]option{
			withMint("bot"), withPublishedToken("t4", 4, time.Hour),
			withSpec(func(s *v1alpha1.CoderSessionSpec) {
				s.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true}
			}),
		}, options...)...)
	}
	missing := activeOutcome(15 * time.Hour)
	missing.Synced = "False ClientCertificateMissing"
	has := func(d *Deployment) { d.HasCertificates = true }
	checkRows(t, map[string]row{
		"there is none": {with(), missing},
		"there is one":  {with(withDeployment(has)), activeOutcome(15 * time.Hour)},
		"the settings are not read": {
			with(withDeployment(func(d *Deployment) { d.Resolved = false })), activeOutcome(15 * time.Hour),
		},
		"it is not wanted": {
			newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour)), activeOutcome(15 * time.Hour),
		},
	})
}

// B119: while the deployment cannot be asked, Ready stays as the operator wrote it, and not as another
// writer did.
func TestAForeignReadyIsNotKept(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status metav1.ConditionStatus
		reason string
		want   string
	}{
		"the operator's":            {metav1.ConditionTrue, v1alpha1.ReasonActive, v1alpha1.ReasonActive},
		"the operator's suspension": {metav1.ConditionFalse, v1alpha1.ReasonSuspended, v1alpha1.ReasonSuspended},
		"another reason":            {metav1.ConditionTrue, "Fine", v1alpha1.ReasonAwaitingDeployment},
		"a suspension that is true": {metav1.ConditionTrue, v1alpha1.ReasonSuspended, v1alpha1.ReasonAwaitingDeployment},
		"an unknown one":            {metav1.ConditionUnknown, v1alpha1.ReasonActive, v1alpha1.ReasonAwaitingDeployment},
	} {
		o := newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour),
			withOutage())
		o.Session.Status.Conditions = []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: tt.status, Reason: tt.reason, Message: "as it was"},
		}
		if ready := Decide(o).findCondition(v1alpha1.ConditionReady); ready == nil || ready.Reason != tt.want {
			t.Errorf("%s: %+v, want %s", name, ready, tt.want)
		}
	}
}
