// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// The end of the operator's own token is said a fifth of its lifetime before.
func TestTokenCurrent(t *testing.T) {
	t.Parallel()
	const week = 7 * 24 * time.Hour
	token := func(age, lifetime time.Duration) OwnToken {
		return OwnToken{ID: "own", CreatedAt: noon.Add(-age), ExpiresAt: noon.Add(lifetime - age)}
	}
	for name, tc := range map[string]struct {
		token   OwnToken
		renewed bool
		change  func(*Observation)
		want    string        // status and reason; "": no condition
		part    string        // of the message
		wake    time.Duration // until the condition changes; zero: not for that
	}{
		"fresh": {token: token(time.Hour, week), want: "True TokenValid", part: "valid until 2026-",
			wake: 4*week/5 - time.Hour},
		"in its last fifth": {token: token(6*24*time.Hour, week), want: "False TokenExpiring",
			part: `nothing renews it: write another one to Secret "operator", key "token", or set token.renew`,
			wake: 24 * time.Hour},
		"of a year": {token: token(350*24*time.Hour, 365*24*time.Hour), want: "True TokenValid", wake: 8 * 24 * time.Hour},
		"of a year, a week before": {
			token: token(360*24*time.Hour, 365*24*time.Hour), want: "False TokenExpiring", wake: 5 * 24 * time.Hour},
		"renewed": {token: token(6*24*time.Hour, week), renewed: true, want: "True TokenValid", part: "is renewed",
			wake: 24 * time.Hour},
		"ended": {token: token(week, week), want: "False TokenExpired", part: "write a valid one to"},
		"ended, by the server's clock": {token: token(week-time.Minute, week), want: "False TokenExpired",
			change: func(o *Observation) { o.Skew = time.Minute }},
		"its end is not known": {token: OwnToken{ID: "own"}},
		"no token":             {change: func(o *Observation) { o.Deployment.Spec.Token = nil }},
		"refused, its end was known": {want: "False TokenExpired", change: func(o *Observation) {
			o.Verification.Result = authcheck.Result{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonUnauthorized}
			o.Deployment.Status.AuthFingerprint = o.Config.Fingerprint
			o.Deployment.Status.TokenExpirationTime = &metav1.Time{Time: noon.Add(-time.Minute)}
		}},
		"refused, the end was of another": {change: func(o *Observation) {
			o.Verification.Result = authcheck.Result{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonUnauthorized}
			o.Deployment.Status.AuthFingerprint = "former"
			o.Deployment.Status.TokenExpirationTime = &metav1.Time{Time: noon.Add(-time.Minute)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Observation{Now: noon, Deployment: &v1alpha1.CoderDeployment{}}
			o.Config.Fingerprint, o.Verification.Result, o.Verification.Token = "settings", accepted, tc.token
			spec := &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: "operator", Key: "token"}}
			if tc.renewed {
				spec.Renew = &v1alpha1.TokenRenewal{}
			}
			o.Deployment.Spec.Token = spec
			if tc.change != nil {
				tc.change(&o)
			}
			var p Plan
			setTokenCurrentCondition(o, &p)
			c := meta.FindStatusCondition(p.Conditions, v1alpha1.ConditionTokenCurrent)
			if tc.want == "" {
				if c != nil || len(p.ConditionsToRemove) != 1 {
					t.Errorf("got %+v, removed %v", c, p.ConditionsToRemove)
				}
				return
			}
			if c == nil || string(c.Status)+" "+c.Reason != tc.want || !strings.Contains(c.Message, tc.part) {
				t.Errorf("got %+v", c)
			}
			if tc.wake != 0 && !p.RequeueAt.Equal(noon.Add(tc.wake)) {
				t.Errorf("looks again after %s, want %s", p.RequeueAt.Sub(noon), tc.wake)
			}
		})
	}
}

// What the server refuses is named, with its words about it and what to do.
func TestRefusedTokensNameTheirSecret(t *testing.T) {
	t.Parallel()
	refusal := authcheck.Result{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonUnauthorized, AboutCaller: true,
		Message: "the server refuses the credential (API key expired at noon)", Cause: "API key expired at noon"}
	denied := authcheck.Result{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonForbidden, Message: "denied"}
	wordless := refusal
	wordless.Cause = ""
	for name, tc := range map[string]struct {
		result          authcheck.Result
		named, sendsOne bool
		want            string
	}{
		"an expired token": {refusal, true, true,
			`the server refuses the token in Secret "operator", key "token" (API key expired at noon): write a valid one there`},
		"without words": {wordless, true, true,
			`the server refuses the token in Secret "operator", key "token": write a valid one there`},
		"an empty token": {refusal, true, false,
			"the server refuses the credential (API key expired at noon): correct the client certificate or the headers, " +
				"or name a token in spec.token"},
		"no token": {refusal, false, false,
			"the server refuses the credential (API key expired at noon): correct the client certificate or the headers, " +
				"or name a token in spec.token"},
		"another refusal": {denied, true, true, "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newDeployment("prod", withVerification(tc.result, 0))
			o.Config.SendsToken = tc.sendsOne
			o.Deployment.Spec.Token = nil
			if tc.named {
				o.Deployment.Spec.Token = &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: "operator"}}
			}
			for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionVerified} {
				if c := meta.FindStatusCondition(Decide(o).Conditions, kind); c == nil || c.Message != tc.want {
					t.Errorf("%s is %+v, want the message %q", kind, c, tc.want)
				}
			}
		})
	}
}
