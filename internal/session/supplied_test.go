// SPDX-License-Identifier: Apache-2.0

package session

import (
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

func TestDecideToken(t *testing.T) {
	t.Parallel()
	fine := outcome{
		Ready: "True Active", Authenticated: "absent", Synced: "absent", Cut: "absent",
		Wake: 4 * time.Minute,
	}
	steady := func(options ...option) Observation {
		base := []option{withToken(), publishedSupplied(value), checkedAs(value, time.Minute, accepted)}
		return newSession("ci", append(base, options...)...)
	}
	checkRows(t, map[string]row{
		"nothing is published that the server was not asked about": {
			newSession("ci", withToken()), outcome{Do: CheckCredential},
		},
		"accepted: published": {newSession("ci", withToken(), checkedAs(value, 0, accepted)), outcome{Do: Publish}},
		"accepted: the finalizer comes first": {
			newSession("ci", withToken(), checkedAs(value, 0, accepted), noFinalizer), outcome{Do: AddFinalizer},
		},
		"published and accepted":         {steady(), fine},
		"asked again after the interval": {steady(checkedAs(value, interval, accepted)), outcome{Do: CheckCredential}},
		"another token was written": {
			steady(func(o *Observation) { o.SuppliedToken.Fingerprint = "hmac-sha256:next" }),
			outcome{Do: CheckCredential},
		},
		"another token is accepted, so it is published": {
			steady(
				checkedAs("hmac-sha256:next", 0, accepted),
				func(o *Observation) { o.SuppliedToken.Fingerprint = "hmac-sha256:next" },
			), outcome{Do: Publish},
		},
		"accepted under settings that have changed since": {
			steady(func(o *Observation) { o.CredentialCheck.Settings = "hmac-sha256:old" }),
			outcome{Do: CheckCredential},
		},
		"B09 refused under settings that have changed since: asked again": {
			steady(
				checkedAs(value, 0, refused), func(o *Observation) { o.CredentialCheck.Settings = "hmac-sha256:old" },
			),
			outcome{Do: CheckCredential},
		},
		"B09 refused, and another token was written: asked again": {
			steady(checkedAs("hmac-sha256:old", 0, refused)), outcome{Do: CheckCredential},
		},
		"B24 an edited Secret is restored": {
			steady(withSecret(func(s *Secret) { s.InSync = false })), outcome{Do: Publish},
		},
		"B24 a deleted Secret is restored": {steady(withSecret(func(s *Secret) { *s = Secret{} })), outcome{Do: Publish}},
		"B24 a Secret without its value is restored": {
			steady(withSecret(func(s *Secret) { s.ValueGone = true })), outcome{Do: Publish},
		},
		"B25 a corrupt Secret is restored": {
			steady(withSecret(func(s *Secret) { s.Token, s.Corrupt = nil, "annotation x cannot be read" })),
			outcome{Do: Publish},
		},
		"refused: suspended, with a probe at the next interval": {
			steady(checkedAs(value, time.Minute, refused)),
			outcome{
				Ready: "False Suspended", Authenticated: "False Unauthorized", Synced: "absent",
				Suspended: "Unauthorized", Wake: 4 * time.Minute,
			},
		},
		"refused, and never published": {
			newSession("ci", withToken(), checkedAs(value, 0, refused)),
			outcome{
				Ready: "False Suspended", Authenticated: "False Unauthorized", Synced: "absent",
				Suspended: "Unauthorized", Wake: interval,
			},
		},
		"denied: the server knows the token and lets it see nothing": {
			steady(
				checkedAs(value, 0, authcheck.Result{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonForbidden}),
			),
			outcome{
				Ready: "False Suspended", Authenticated: "False Forbidden", Synced: "absent",
				Suspended: "Forbidden", Wake: interval,
			},
		},
		"an answer that is no Coder server's does not make a token bad": {
			steady(
				checkedAs(
					value, 0, authcheck.Result{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonUnexpectedAnswer},
				),
			),
			outcome{
				Ready: "True Active", Authenticated: "Unknown UnexpectedAnswer", Synced: "absent", Wake: interval,
			},
		},
		"B122 a refused client certificate does not make a token bad": {
			steady(checkedAs(value, 0, authcheck.Result{
				Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonCertificateRejected, AboutCaller: true,
			})),
			outcome{
				Ready: "True Active", Authenticated: "Unknown CertificateRejected", Synced: "absent", Wake: interval,
			},
		},
		"unreachable: Ready stays, asked again after a second": {
			steady(checkedAs(value, 0, unreachable)),
			outcome{
				Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "absent", Wake: time.Second,
			},
		},
		"unreachable for the fifth time: the backoff grows": {
			steady(checkedAs(value, time.Second, unreachable), func(o *Observation) { o.CredentialCheck.Failures = 5 }),
			outcome{
				Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "absent",
				Wake: 15 * time.Second,
			},
		},
		"unreachable a second ago: asked again": {
			steady(checkedAs(value, time.Second, unreachable)), outcome{Do: CheckCredential},
		},
		"B52 the server asks to wait": {
			steady(
				checkedAs(
					value, 0,
					authcheck.Result{
						Outcome: authcheck.Unreachable, Reason: v1alpha1.ReasonRateLimited, RetryAfter: time.Minute,
					},
				),
			),
			outcome{
				Ready: "True Active", Authenticated: "Unknown RateLimited", Synced: "absent", Wake: time.Minute,
			},
		},
		"B26 no such Secret or key": {
			steady(
				func(o *Observation) { o.SuppliedToken = SuppliedToken{Problem: `Secret "mine" has no key "token"`} },
			),
			outcome{Ready: "False ConfigInvalid", Synced: "absent", Wake: interval},
		},
		"B118 no such Secret yet": {
			newSession("ci", withToken(), func(o *Observation) {
				o.SuppliedToken = SuppliedToken{Problem: `Secret "mine" does not exist`, Missing: true}
			}),
			outcome{
				Ready: "False ConfigInvalid", Authenticated: "Unknown ReferenceMissing", Synced: "absent", Wake: interval,
			},
		},
		"B118 a Secret with something else": {
			newSession("ci", withToken(), func(o *Observation) {
				o.SuppliedToken = SuppliedToken{Problem: `Secret "mine", key "token": no token`}
			}),
			outcome{Ready: "False ConfigInvalid", Authenticated: "absent", Synced: "absent", Wake: interval},
		},
		"B26 an empty token, and nothing else that identifies": {
			newSession("ci", withToken(), func(o *Observation) { o.SuppliedToken = SuppliedToken{Empty: true} }),
			outcome{Ready: "False ConfigInvalid", Synced: "absent", Wake: interval},
		},
		"B26 an empty token of a deployment with headers": {
			newSession(
				"ci", withToken(),
				func(o *Observation) { o.SuppliedToken, o.Deployment.ByConnection = SuppliedToken{Empty: true}, true },
			),
			outcome{Do: CheckCredential},
		},
		"the deployment is not verified: what is published stays": {
			steady(withOutage()),
			outcome{Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "absent", Wake: interval},
		},
		"the deployment's settings are broken: what is published stays": {
			steady(withNotReady(func(d *Deployment) { d.Problem, d.Result = "no key", authcheck.Result{} })),
			outcome{
				Ready: "True Active", Authenticated: "Unknown ConfigInvalid", Synced: "absent", Wake: interval,
			},
		},
	})
}

func TestDecideConnection(t *testing.T) {
	t.Parallel()
	fine := outcome{Ready: "True Active", Authenticated: "absent", Synced: "absent", Cut: "absent"}
	alert := authcheck.Result{
		Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonCertificateRejected, AboutCaller: true,
	}
	checkRows(t, map[string]row{
		"B13 verified as the caller that the session is: no request": {
			newSession("ci", withCertificate()), outcome{Do: Publish},
		},
		"B13 published": {newSession("ci", withCertificate(), publishedPlain()), fine},
		"a token from before is taken out": {
			newSession("ci", withCertificate(), publishedSupplied(value)), outcome{Do: Publish},
		},
		"the operator has a token of its own, so the connection is asked about alone": {
			newSession(
				"ci", withCertificate(), withDeployment(func(d *Deployment) { d.OwnToken = true }),
			), outcome{Do: CheckCredential},
		},
		"the server does not know the caller": {
			newSession(
				"ci", withCertificate(), withDeployment(func(d *Deployment) { d.User = nil }), checkedAs("", 0, refused),
			),
			outcome{
				Ready: "False Suspended", Authenticated: "False Unauthorized", Synced: "absent",
				Suspended: "Unauthorized", Wake: interval,
			},
		},
		"the deployment is refused, and so is the session": {
			newSession("ci", withCertificate(), publishedPlain(), withDeployment(func(d *Deployment) { d.Result = refused })),
			outcome{
				Ready: "False Suspended", Authenticated: "False Unauthorized", Synced: "absent",
				Suspended: "Unauthorized", Wake: interval,
			},
		},
		"B46 only the operator's own token is refused": {
			newSession(
				"ci", withCertificate(), publishedPlain(),
				withNotReady(func(d *Deployment) { d.Result, d.OwnToken = refused, true }),
			),
			outcome{Ready: "True Active", Authenticated: "Unknown Unauthorized", Synced: "absent", Wake: interval},
		},
		"the certificate is refused for every caller": {
			newSession(
				"ci", withCertificate(), publishedPlain(),
				withDeployment(func(d *Deployment) { d.Result, d.OwnToken = alert, true }),
			),
			outcome{
				Ready: "False Suspended", Authenticated: "False CertificateRejected", Synced: "absent",
				Suspended: "CertificateRejected", Wake: interval,
			},
		},
		"unreachable": {
			newSession(
				"ci", withCertificate(), publishedPlain(), withOutage(),
			),
			outcome{Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "absent", Wake: interval},
		},
		"nothing identifies the caller any more": {
			newSession(
				"ci", withCertificate(), publishedPlain(), withDeployment(func(d *Deployment) { d.ByConnection = false }),
			),
			outcome{Ready: "False ConfigInvalid", Synced: "absent", Wake: interval},
		},
	})
}

func TestRefusalSaysWhatToDo(t *testing.T) {
	t.Parallel()
	alert := authcheck.Result{
		Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonCertificateRejected, AboutCaller: true,
	}
	expired := refused
	expired.Cause = "API key expired at noon"
	suspended := authcheck.Result{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonUserSuspended, AboutCaller: true,
		Message: "the user is suspended"}
	for name, tc := range map[string]struct {
		seen Observation
		want string
	}{
		"a refused token": {
			newSession("ci", withToken(), checkedAs(value, 0, refused)),
			`the server refuses the token in Secret "mine", key "token": write a valid one there`,
		},
		"a token that has expired": {
			newSession("ci", withToken(), checkedAs(value, 0, expired)),
			`the server refuses the token in Secret "mine", key "token" (API key expired at noon): write a valid one there`,
		},
		"a grant's token": {
			newSession("ci", withOAuth(), publishedGrant(time.Hour), withGrant(func(g *Grant) { g.Refreshable = false }),
				checkedAs(value, 0, expired)),
			"the server refuses the grant's access token (API key expired at noon)",
		},
		"a suspended user": {
			newSession("ci", withToken(), checkedAs(value, 0, suspended)),
			"the user is suspended; activate the user on the server",
		},
		"a certificate beside the operator's token": {
			newSession(
				"ci", withCertificate(), withDeployment(func(d *Deployment) { d.OwnToken = true }), checkedAs("", 0, alert),
			), "client certificate",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Decide(tc.seen)
			if c := p.findCondition(v1alpha1.ConditionReady); c == nil || !strings.Contains(c.Message, tc.want) {
				t.Errorf("Ready = %v, want a message with %q", c, tc.want)
			}
		})
	}
}
