// SPDX-License-Identifier: Apache-2.0

package status

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

func TestWhatASessionsStatusLeavesOut(t *testing.T) {
	t.Parallel()
	over := most + "x"
	type status = v1alpha1.CoderSessionStatus
	tests := map[string]struct {
		change, want func(*status)
		leftOut      string
	}{
		"user id":  {func(s *status) { s.User.ID = over }, func(s *status) { s.User = nil }, "user"},
		"username": {func(s *status) { s.User.Username = huge }, func(s *status) { s.User = nil }, "user"},
		"deployment id": {
			func(s *status) { s.User.DeploymentID = over },
			func(s *status) { s.User.DeploymentID = "" }, "user.deploymentID"},
		"token id": {func(s *status) { s.Token.ID = over }, func(s *status) { s.Token = nil }, "token"},
		"token name": {
			func(s *status) { s.Token.Name = over },
			func(s *status) { s.Token.Name = "" }, "token.name"},
		"a scope": {
			func(s *status) { s.Token.Scopes = []string{"a", over} },
			func(s *status) { s.Token.Scopes = nil }, "token.scopes"},
		"65 scopes": {
			func(s *status) { s.Token.Scopes = slices.Repeat([]string{"a"}, 65) },
			func(s *status) { s.Token.Scopes = nil }, "token.scopes"},
		"id of a revocation": {
			func(s *status) {
				s.PendingRevocations = []v1alpha1.PendingRevocation{{ID: over}, {ID: "b"}}
			},
			func(s *status) { s.PendingRevocations = []v1alpha1.PendingRevocation{{ID: "b"}} }, "pendingRevocations"},
		"name of a revocation": {
			func(s *status) { s.PendingRevocations[0].Name = over },
			func(s *status) { s.PendingRevocations[0].Name = "" }, "pendingRevocations.name"},
		"secret name": {func(s *status) { s.Secret.Name = over }, func(s *status) { s.Secret = nil }, "secret"},
		"fingerprint": {
			func(s *status) { s.Secret.Fingerprint = over },
			func(s *status) { s.Secret.Fingerprint = "" }, "secret.fingerprint"},
		"version of the secret": {
			func(s *status) { s.Secret.ResourceVersion = over },
			func(s *status) { s.Secret.ResourceVersion = "" }, "secret.resourceVersion"},
		"workload": {
			func(s *status) { s.Restarts[0].Name = v1alpha1.ObjectName(most[:254]) },
			func(s *status) { s.Restarts = nil }, "restarts"},
		"credential": {
			func(s *status) { s.Restarts[0].Credential = over },
			func(s *status) { s.Restarts = nil }, "restarts"},
		"suspension": {
			func(s *status) { s.Suspension.Reason = over },
			func(s *status) { s.Suspension = nil }, "suspension"},
		"retirement": {
			func(s *status) { s.Retirement.Reason = over },
			func(s *status) { s.Retirement = nil }, "retirement"},
		"url": {
			func(s *status) { s.Authorization.URL = strings.Repeat("x", 4097) },
			func(s *status) { s.Authorization = nil }, "authorization"},
		"characters that JSON escapes": {
			func(s *status) { s.User.Username = strings.Repeat("<", 43) }, func(s *status) { s.User = nil }, "user"},
		"request": {
			func(s *status) { s.LastHandledRenewAt = strings.Repeat("a", 65) },
			func(s *status) { s.LastHandledRenewAt = "" }, "lastHandledRenewAt"},
		"several": {
			func(s *status) { s.User.ID, s.User.Username, s.Token.Name = over, over, over },
			func(s *status) { s.User, s.Token.Name = nil, "" }, "user, token.name"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, want := fullSession().Status, fullSession().Status
			test.change(&got)
			test.want(&want)
			want.Conditions[0].Message = "old (status leaves out " + test.leftOut + ": too long)"
			limitSession(&got)
			if diff := cmp.Diff(want, got, equateEmpty); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatADeploymentsStatusLeavesOut(t *testing.T) {
	t.Parallel()
	over := most + "x"
	type status = v1alpha1.CoderDeploymentStatus
	tests := map[string]struct {
		change, want func(*status)
		leftOut      string
	}{
		"deployment id": {
			func(s *status) { s.DeploymentID = over },
			func(s *status) { s.DeploymentID = "" }, "deploymentID"},
		"version":  {func(s *status) { s.Version = over }, func(s *status) { s.Version = "" }, "version"},
		"user id":  {func(s *status) { s.User.ID = over }, func(s *status) { s.User = nil }, "user"},
		"username": {func(s *status) { s.User.Username = huge }, func(s *status) { s.User = nil }, "user"},
		"a role": {
			func(s *status) { s.User.Roles = []string{over, "owner"} },
			func(s *status) { s.User.Roles = nil }, "user.roles"},
		"65 roles": {
			func(s *status) { s.User.Roles = slices.Repeat([]string{"a"}, 65) },
			func(s *status) { s.User.Roles = nil }, "user.roles"},
		"fingerprint": {
			func(s *status) { s.AuthFingerprint = over },
			func(s *status) { s.AuthFingerprint = "" }, "authFingerprint"},
		"request": {
			func(s *status) { s.LastHandledVerifyAt = strings.Repeat("a", 65) },
			func(s *status) { s.LastHandledVerifyAt = "" }, "lastHandledVerifyAt"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, want := fullDeployment().Status, fullDeployment().Status
			test.change(&got)
			test.want(&want)
			want.Conditions[0].Message = "old (status leaves out " + test.leftOut + ": too long)"
			limitDeployment(&got)
			if diff := cmp.Diff(want, got, equateEmpty); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheFirstEntriesAreKept(t *testing.T) {
	t.Parallel()
	s := fullSession().Status
	repeatEntry(reflect.ValueOf(&s.PendingRevocations).Elem(), 100)
	repeatEntry(reflect.ValueOf(&s.Restarts).Elem(), 100)
	revocations, restarts := slices.Clone(s.PendingRevocations[:64]), slices.Clone(s.Restarts[:16])
	limitSession(&s)
	if diff := cmp.Diff(revocations, s.PendingRevocations); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(restarts, s.Restarts); diff != "" {
		t.Error(diff)
	}
	want := "old (status leaves out pendingRevocations, restarts: too long)"
	if got := s.Conditions[0].Message; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestConditionsAreTheOperatorsOwn(t *testing.T) {
	t.Parallel()
	foreign := []metav1.Condition{{Type: "example.com/Audited"}, {Type: "Verified"}, {Type: ""}}
	known := []metav1.Condition{{Type: "Ready", Reason: "Active"}, {Type: "LifetimeCut"}}
	twice := metav1.Condition{Type: "Ready", Reason: "Paused"}
	s := v1alpha1.CoderSessionStatus{Conditions: slices.Concat(foreign[:1], known, foreign[1:], []metav1.Condition{twice})}
	limitSession(&s)
	if diff := cmp.Diff(known, s.Conditions); diff != "" {
		t.Error(diff)
	}
	d := v1alpha1.CoderDeploymentStatus{Conditions: []metav1.Condition{{Type: "Authenticated"}, {Type: "Verified"}}}
	limitDeployment(&d)
	if diff := cmp.Diff([]metav1.Condition{{Type: "Verified"}}, d.Conditions); diff != "" {
		t.Error(diff)
	}
}

func TestNoteIsThereOnce(t *testing.T) {
	t.Parallel()
	dots := strings.Repeat(".", maxMessage)
	const user, refused = " (status leaves out user: too long)", " " + refusedNote
	tests := map[string]struct {
		message string
		fields  []string
		want    string
	}{
		"nothing left out":             {"m", nil, "m"},
		"a note that was kept":         {"m" + user, nil, "m" + user},
		"the same note":                {"m" + user, []string{"user"}, "m" + user},
		"another note":                 {"m (status leaves out token, user: too long)", []string{"user"}, "m" + user},
		"a refused status":             {"m" + refused, nil, "m"},
		"a refused status, and a note": {"m" + refused, []string{"user"}, "m" + user},
		"a long message":               {dots, []string{"user"}, dots[:maxMessage-len(user)-3] + "…" + user},
		"no message":                   {"", []string{"user"}, user[1:]},
		"a note that was all":          {user[1:], []string{"user"}, user[1:]},
		"a refused status was all":     {refusedNote, nil, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conditions := []metav1.Condition{
				{Type: "Authenticated", Message: "a" + refusedNote}, {Type: "Ready", Message: test.message}}
			noteLeftOut(conditions, test.fields)
			if got := conditions[1].Message; got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if got := conditions[0].Message; got != "a"+refusedNote {
				t.Errorf("another condition's message became %q", got)
			}
		})
	}
}

// equateEmpty compares empty lists as JSON does, which leaves them out.
var equateEmpty = cmp.FilterValues(
	func(a, b any) bool { return isEmptyList(a) && isEmptyList(b) }, cmp.Ignore())

func isEmptyList(v any) bool {
	list := reflect.ValueOf(v)
	return list.Kind() == reflect.Slice && list.Len() == 0
}
