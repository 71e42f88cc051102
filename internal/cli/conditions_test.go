// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// The operator's message is for people: the plugin shows it whole, and adds nothing to it.
func TestMessagesOfTheOperatorAreShownWhole(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "ci", Generation: 1,
			Finalizers: []string{v1alpha1.SessionFinalizer}},
		Spec: v1alpha1.CoderSessionSpec{Auth: v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}},
	}
	observation := session.Observation{
		Now: now, Session: s,
		Deployment: session.Deployment{Found: true, Resolved: true,
			Result: authcheck.Result{Outcome: authcheck.Accepted}},
	}
	const how = ": open status.authorization.url in a browser, or run kubectl coder login"
	for name, test := range map[string]struct {
		grant session.Grant
		want  string
	}{
		"first": {session.Grant{}, "is AwaitingAuthorization: a person has to consent" + how},
		"declined": {session.Grant{Ended: "AccessDenied"},
			"is AwaitingAuthorization: the last attempt failed (AccessDenied); a person has to consent" + how},
		"ended": {session.Grant{Ended: "InvalidGrant", Consented: true},
			"is ReauthenticationRequired: the grant has ended (InvalidGrant); a person has to consent again" + how},
	} {
		test.grant.Registered, test.grant.URL, test.grant.URLEnds = true, "https://coder.example.com",
			now.Add(time.Minute)
		observation.Grant = test.grant
		s := s.DeepCopy()
		session.Decide(observation).Apply(&s.Status, 1, now)
		if diff := cmp.Diff(test.want, describeSessionStatus(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestStatusOfOtherMessages(t *testing.T) {
	t.Parallel()
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "ci", Generation: 2}}
	s.Status.ObservedGeneration = 2
	if got, want := describeSessionStatus(s), "has not been looked at by the operator yet"; got != want {
		t.Errorf("without a condition: %q, want %q", got, want)
	}
	meta.SetStatusCondition(&s.Status.Conditions,
		metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "Suspended"})
	if got, want := describeSessionStatus(s), "is Suspended"; got != want {
		t.Errorf("without a message: %q, want %q", got, want)
	}
	s.Status.ObservedGeneration = 1
	if got, want := describeSessionStatus(s), "has not been looked at by the operator yet"; got != want {
		t.Errorf("of an older spec: %q, want %q", got, want)
	}
}

func TestSummarySaysWhatIsKnown(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *metav1.Time { t := metav1.NewTime(now.Add(d)); return &t }
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "ci"}}
	for name, test := range map[string]struct {
		spec   *v1alpha1.GeneratedSecret
		status v1alpha1.CoderSessionStatus
		want   []string
	}{
		"nothing": {want: []string{"  Secret:   builds/ci"}},
		"all": {
			spec: &v1alpha1.GeneratedSecret{Name: "ci-coder"},
			status: v1alpha1.CoderSessionStatus{
				User:            &v1alpha1.SessionUser{Username: "ada"},
				Token:           &v1alpha1.TokenStatus{ExpirationTime: at(-time.Minute)},
				NextRefreshTime: at(90 * time.Second),
			},
			want: []string{
				"  User:     ada", "  Secret:   builds/ci-coder", "  Expires:  2026-03-01T11:59:00Z (60s ago)",
				"  Renewal:  2026-03-01T12:01:30Z (in 90s)",
			},
		},
	} {
		s.Spec.Secret, s.Status = test.spec, test.status
		if diff := cmp.Diff(test.want, sessionDetails(s, now)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDurationsAreReadable(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", 10 * time.Minute: "10m", 59 * time.Minute: "59m", time.Hour: "1h",
		90 * time.Minute: "1h30m", 179 * time.Minute: "2h59m", 3 * time.Hour: "3h", 26 * time.Hour: "26h",
		120 * time.Hour: "5d",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

func TestAServiceAccountIsShownAsOne(t *testing.T) {
	t.Parallel()
	s := &v1alpha1.CoderSession{}
	s.Status.User = &v1alpha1.SessionUser{Username: "ci-bot", ServiceAccount: true}
	if got := sessionCells(s, assessedAt)[0]; got != "ci-bot (service account)" {
		t.Errorf("the user is shown as %q", got)
	}
}
