// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

var assessedAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func timeAfterAssessment(d time.Duration) *metav1.Time {
	t := metav1.NewTime(assessedAt.Add(d))
	return &t
}

// healthSummary is a health without its texts, and whether it has a remedy.
type healthSummary struct {
	Health healthLevel
	State  string
	Says   bool
}

func summarize(f health) healthSummary {
	return healthSummary{f.level, f.state, f.remedy != ""}
}

func newCondition(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "why",
		LastTransitionTime: *timeAfterAssessment(-time.Minute)}
}

func TestEachReasonOfASessionIsAssessed(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]healthSummary{
		v1alpha1.ReasonVerifying:                {unhealthy, "Verifying", true},
		v1alpha1.ReasonAwaitingDeployment:       {unhealthy, "AwaitingDeployment", true},
		v1alpha1.ReasonAwaitingAuthorization:    {unhealthy, "AwaitingAuthorization", true},
		v1alpha1.ReasonSuspended:                {unhealthy, "Suspended", true},
		v1alpha1.ReasonReauthenticationRequired: {unhealthy, "ReauthenticationRequired", true},
		v1alpha1.ReasonAccessDenied:             {unhealthy, "AccessDenied", true},
		v1alpha1.ReasonRetired:                  {inactive, "Retired", true},
		v1alpha1.ReasonPaused:                   {inactive, "Paused", true},
		v1alpha1.ReasonWorkspaceStopped:         {inactive, "WorkspaceStopped", true},
		v1alpha1.ReasonWorkspaceUnknown:         {unhealthy, "WorkspaceUnknown", true},
		v1alpha1.ReasonSecretConflict:           {unhealthy, "SecretConflict", true},
		v1alpha1.ReasonConfigInvalid:            {unhealthy, "ConfigInvalid", true},
		// The messages of these reasons say what to do.
		v1alpha1.ReasonAPIServerRefused: {unhealthy, "APIServerRefused", false},
		"OfALaterVersion":               {unhealthy, "OfALaterVersion", false},
	} {
		s := &v1alpha1.CoderSession{}
		s.Spec.Workspace = &v1alpha1.WorkspaceRef{Owner: "ada", Name: "dev"}
		s.Status.Conditions = []metav1.Condition{newCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason)}
		if diff := cmp.Diff(want, summarize(assessSession(s, &v1alpha1.CoderDeployment{}))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
	}
}

func TestASessionThatIsReadyMayWantAttention(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		condition metav1.Condition
		want      healthSummary
	}{
		"of an earlier operator": {newCondition(v1alpha1.ConditionAuthenticated, metav1.ConditionTrue, "Accepted"),
			healthSummary{State: "Ready"}},
		"unreachable": {newCondition(v1alpha1.ConditionAuthenticated, metav1.ConditionUnknown, v1alpha1.ReasonUnreachable),
			healthSummary{degraded, "Ready but Unreachable", true}},
		"stuck": {newCondition(v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse,
			v1alpha1.ReasonRolloutStuck), healthSummary{degraded, "Ready but RolloutStuck", true}},
		"rolling": {newCondition(v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse, v1alpha1.ReasonRolling),
			healthSummary{State: "Ready"}},
		"unwritten": {newCondition(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse,
			v1alpha1.ReasonTemplateInvalid), healthSummary{degraded, "Ready but TemplateInvalid", false}},
		"more than asked for": {newCondition(v1alpha1.ConditionScopesGranted, metav1.ConditionFalse,
			v1alpha1.ReasonServerIgnoresScopes), healthSummary{degraded, "Ready but ServerIgnoresScopes", true}},
		"as asked for": {newCondition(v1alpha1.ConditionScopesGranted, metav1.ConditionTrue,
			v1alpha1.ReasonScopesGranted), healthSummary{State: "Ready"}},
		"no certificate": {newCondition(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse,
			v1alpha1.ReasonClientCertificateMissing),
			healthSummary{degraded, "Ready but ClientCertificateMissing", true}},
		"cut": {newCondition(v1alpha1.ConditionLifetimeCut, metav1.ConditionTrue, v1alpha1.ReasonServerMaximum),
			healthSummary{State: "Ready"}},
		"unwatched": {newCondition(v1alpha1.ConditionWorkspaceWatched, metav1.ConditionFalse,
			v1alpha1.ReasonStreamRefused), healthSummary{State: "Ready"}},
	} {
		s := &v1alpha1.CoderSession{}
		s.Status.Conditions = []metav1.Condition{
			newCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonActive), test.condition}
		if diff := cmp.Diff(test.want, summarize(assessSession(s, nil))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEachReasonOfADeploymentHasARemedy(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{
		v1alpha1.ReasonConfigInvalid, v1alpha1.ReasonUnauthorized, v1alpha1.ReasonForbidden,
		v1alpha1.ReasonUserSuspended,
		v1alpha1.ReasonUnreachable, v1alpha1.ReasonRateLimited, v1alpha1.ReasonUnexpectedAnswer,
		v1alpha1.ReasonEdgeRefused, v1alpha1.ReasonRedirected,
		v1alpha1.ReasonCertificateRejected,
		v1alpha1.ReasonCertificateUnsupported, v1alpha1.ReasonCertificateAuthorityUnknown,
		v1alpha1.ReasonCertificateAccessDenied,
		v1alpha1.ReasonCertificateRequired, v1alpha1.ReasonServerUntrusted, v1alpha1.ReasonTerminating,
	} {
		d := &v1alpha1.CoderDeployment{}
		d.Status.Conditions = []metav1.Condition{newCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason)}
		if diff := cmp.Diff(healthSummary{unhealthy, reason, true},
			summarize(assessDeployment(d))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
	}
}

// The remedy for a server that is not trusted names the CA bundle that is there.
func TestTheRemedyForAnUntrustedServer(t *testing.T) {
	t.Parallel()
	d := &v1alpha1.CoderDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "prod"}}
	const name = ", or set spec.tls.serverName where the name differs"
	for bundle, want := range map[*v1alpha1.CABundleRef]string{
		nil: "set spec.tls.caBundle" + name,
		{Kind: "ConfigMap", Name: "corp-ca", Key: "ca.crt"}: "add its authority to ConfigMap coder/corp-ca, key ca.crt" +
			name,
	} {
		d.Spec.TLS = &v1alpha1.TLSConfig{CABundle: bundle}
		if got := deploymentRemedy(d, v1alpha1.ReasonServerUntrusted); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The end of a token that the server refuses is not shown: the status has that of another one.
func TestARefusedTokenHasNoEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	d := &v1alpha1.CoderDeployment{}
	d.Status.TokenExpirationTime = &metav1.Time{Time: now.Add(time.Hour)}
	for reason, want := range map[string]int{v1alpha1.ReasonUnreachable: 1, v1alpha1.ReasonUnauthorized: 0} {
		d.Status.Conditions = []metav1.Condition{newCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason)}
		if got := expirationLines(d, now); len(got) != want {
			t.Errorf("%s: %q, want %d lines", reason, got, want)
		}
	}
}

func TestADeploymentThatIsReadyMayWantAttention(t *testing.T) {
	t.Parallel()
	good := newCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	token := &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: "t"}}
	for name, test := range map[string]struct {
		change func(*v1alpha1.CoderDeployment)
		want   healthSummary
	}{
		"nothing": {func(*v1alpha1.CoderDeployment) {}, healthSummary{State: "Ready"}},
		"token": {func(d *v1alpha1.CoderDeployment) {
			d.Status.Conditions = append(d.Status.Conditions,
				newCondition(v1alpha1.ConditionTokenRenewed, metav1.ConditionFalse, v1alpha1.ReasonForbidden))
		}, healthSummary{degraded, "Ready but TokenNotRenewed", true}},
		"certificate": {func(d *v1alpha1.CoderDeployment) {
			d.Status.Conditions = append(d.Status.Conditions,
				newCondition(v1alpha1.ConditionCertificateCurrent, metav1.ConditionFalse,
					v1alpha1.ReasonCertificateExpiring))
		}, healthSummary{degraded, "Ready but CertificateExpiring", false}},
		"a root that is not trusted": {func(d *v1alpha1.CoderDeployment) {
			d.Status.Conditions = append(d.Status.Conditions,
				newCondition(v1alpha1.ConditionCABundleComplete, metav1.ConditionFalse,
					v1alpha1.ReasonCertificatesSkipped))
		}, healthSummary{degraded, "Ready but CertificatesSkipped", false}},
		"http": {func(d *v1alpha1.CoderDeployment) {
			d.Status.Conditions = append(d.Status.Conditions,
				newCondition(v1alpha1.ConditionTransportProtected, metav1.ConditionFalse, v1alpha1.ReasonPlainHTTP))
		}, healthSummary{degraded, "Ready but PlainHTTP", false}},
		"https": {func(d *v1alpha1.CoderDeployment) {
			d.Status.Conditions = append(d.Status.Conditions,
				newCondition(v1alpha1.ConditionTransportProtected, metav1.ConditionTrue, v1alpha1.ReasonProtected))
		}, healthSummary{State: "Ready"}},
		"a list that is too large": {func(d *v1alpha1.CoderDeployment) {
			d.Status.Conditions = append(d.Status.Conditions,
				newCondition(v1alpha1.ConditionTokensListed, metav1.ConditionFalse, v1alpha1.ReasonTokenListTooLarge))
		}, healthSummary{degraded, "Ready but TokenListTooLarge", false}},
		"ending": {func(d *v1alpha1.CoderDeployment) {
			d.Spec.Token = token
			d.Status.Conditions = append(d.Status.Conditions,
				newCondition(v1alpha1.ConditionTokenCurrent, metav1.ConditionFalse, v1alpha1.ReasonTokenExpiring))
		}, healthSummary{degraded, "Ready but TokenExpiring", true}},
		"current": {func(d *v1alpha1.CoderDeployment) {
			d.Status.Conditions = append(d.Status.Conditions,
				newCondition(v1alpha1.ConditionTokenCurrent, metav1.ConditionTrue, v1alpha1.ReasonTokenValid))
		}, healthSummary{State: "Ready"}},
		"not seen": {func(d *v1alpha1.CoderDeployment) { d.Generation = 2 }, healthSummary{unhealthy, "NotSeen", true}},
		"deleted": {func(d *v1alpha1.CoderDeployment) {
			d.Generation, d.DeletionTimestamp = 2, timeAfterAssessment(-time.Hour)
		}, healthSummary{unhealthy, "Terminating", true}},
	} {
		d := &v1alpha1.CoderDeployment{}
		d.Status.Conditions = []metav1.Condition{good}
		test.change(d)
		if diff := cmp.Diff(test.want, summarize(assessDeployment(d))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhyASessionIsSuspendedDecidesWhatToDo(t *testing.T) {
	t.Parallel()
	mint := v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "bot"}}
	supplied := v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{SecretRef: v1alpha1.TokenSecretRef{Name: "mine"}}}
	broken := &v1alpha1.CoderDeployment{}
	for name, test := range map[string]struct {
		auth       v1alpha1.Auth
		reason     string
		user       *v1alpha1.SessionUser
		deployment *v1alpha1.CoderDeployment
		want       string
	}{
		"user": {auth: mint, reason: v1alpha1.ReasonUserSuspended, user: &v1alpha1.SessionUser{Username: "bot"},
			want: `activate user "bot" on the Coder server`},
		"unknown user": {auth: mint, reason: v1alpha1.ReasonUserSuspended,
			want: "activate the user on the Coder server"},
		"token": {auth: supplied, reason: v1alpha1.ReasonUnauthorized,
			want: "write a valid token to Secret builds/mine, key token"},
		"deployment": {auth: v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}},
			reason: v1alpha1.ReasonCertificateRejected, deployment: broken,
			want: "fix the deployment: the session recovers automatically"},
		"else": {auth: mint, reason: v1alpha1.ReasonForbidden,
			want: "fix what the message names: the session recovers automatically"},
	} {
		s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "ci"},
			Spec: v1alpha1.CoderSessionSpec{Auth: test.auth}}
		s.Status.User, s.Status.Suspension = test.user,
			&v1alpha1.Suspension{Reason: test.reason, StartTime: *timeAfterAssessment(-time.Hour)}
		s.Status.Conditions = []metav1.Condition{
			newCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSuspended)}
		got := assessSession(s, test.deployment)
		if got.remedy != test.want || !got.since.Equal(timeAfterAssessment(-time.Hour)) {
			t.Errorf("%s: %q since %s, want %q", name, got.remedy, got.since, test.want)
		}
	}
}
