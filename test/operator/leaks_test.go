// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// B90: no credential stands in a status, an event, a ConfigMap, a log line or a
// Secret that is not made for it; also not after every kind of failure.
func TestNoCredentialLeaves(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.WriteSecret("mine", map[string]string{"token": w.userToken("ada")})
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")),
		w.NewMintedSession("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
			spec.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true,
				Template: map[string]string{"t": "{{ .Token }}"}}
		}),
		w.NewMintedSession("broken", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
			spec.Secret = &v1alpha1.GeneratedSecret{Template: map[string]string{"t": "{{ .Token | nothing }}"}}
		}),
		w.NewSuppliedSession("own", "mine"))
	w.Eventually(w.IsReady("ci"), w.IsReady("own"), w.IsNotReady("broken", v1alpha1.ReasonConfigInvalid, ""))
	w.sentinels = append(w.sentinels, string(w.CurrentSecret("ci").Data["session"]),
		string(w.CurrentSecret("mtls").Data["tls.key"]))

	// A token that is no token, one that is refused, a server that quotes what it
	// was sent, settings in halves.
	w.WriteSecret("mine", map[string]string{"token": w.newSentinel("not-a-token")})
	w.Eventually(w.IsNotReady("own", v1alpha1.ReasonConfigInvalid, "mine"))
	remove := w.Coder.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized, Message: "refused " + w.sentinels[0],
		Detail: "Coder-Session-Token: " + w.sentinels[0]})
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnauthorized, ""))
	remove()
	w.WriteSecret("edge-headers", map[string]string{"id": w.newSentinel("header") + "\nX: y"})
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonConfigInvalid, "edge-headers"))

	w.searchForSentinels()
}

// B90: nor does anything that an OAuth session lives on, from its registration to its
// deletion, with whatever goes wrong on the way.
func TestNoCredentialOfAGrantLeaves(t *testing.T) {
	w := newEnv(t, withMTLS, withOAuthProvider, accessLifetime(40*time.Second))
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s")), w.newOAuthSession("ci"))
	w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
	attempt := w.learnGrant("ci").Attempt

	// The person declines, and credentials are put into the description of the error.
	leaked := w.userToken("ada")
	_, declined := w.openPage(attempt.RedirectURI + "?" + url.Values{
		"error": {"access_denied"}, "error_description": {"not for " + leaked}, "state": {attempt.State},
	}.Encode())
	w.Eventually(w.asksAnew("ci", attempt.State), w.IsNotReady("ci", v1alpha1.ReasonAwaitingAuthorization, "not for"))
	w.searchForSentinels(declined)

	// The server refuses the code, and quotes all that it was sent.
	d := w.learnGrant("ci")
	location := w.approvedBy("ada", "ci")
	remove := w.Coder.Inject(coderd.Fault{
		Kind: coderd.FaultStatus, Status: 400, Method: "POST", Path: "/oauth2/tokens", Message: "invalid_grant",
		Detail: strings.Join([]string{"quoted:", codeOf(location), d.Attempt.Verifier, d.Client.Secret,
			d.basicAuthorization()}, " "),
	})
	_, refused := w.openPage(location)
	remove()
	w.Eventually(w.asksAnew("ci", d.Attempt.State), w.IsNotReady("ci", v1alpha1.ReasonAwaitingAuthorization, "quoted"))
	w.searchForSentinels(refused)

	// Consent, with a forged state before it and the same address after it.
	w.learnGrant("ci")
	location = w.approvedBy("ada", "ci")
	_, forged := w.openPage(location + "x") // the state is its last parameter
	_, granted := w.openPage(location)
	_, used := w.openPage(location)
	w.Eventually(w.IsReady("ci"))
	first := w.learnGrant("ci")
	w.searchForSentinels(forged, granted, used)

	// A refresh fails, with a server that quotes, and then succeeds.
	remove = w.Coder.Inject(coderd.Fault{
		Kind: coderd.FaultStatus, Status: 400, Method: "POST", Path: "/oauth2/tokens", Message: "invalid_request",
		Detail: "quoted: " + first.Grant.RefreshToken + " " + first.Client.Secret,
	})
	asked := w.Coder.Count("POST", "/oauth2/tokens")
	w.EditSession("ci", func(s *v1alpha1.CoderSession) {
		before := v1alpha1.Duration("35s")
		s.Spec.Rotation = &v1alpha1.Rotation{RenewBefore: &before}
	})
	w.Eventually(func(context.Context) error {
		if w.Coder.Count("POST", "/oauth2/tokens") == asked {
			return fmt.Errorf("no refresh yet")
		}
		return nil
	})
	w.Coder.Reconfigure(func(o *coderd.Options) { o.SessionDuration = time.Hour })
	remove()
	w.Eventually(func(context.Context) error {
		if w.learnGrant("ci").Grant.AccessToken == first.Grant.AccessToken {
			return fmt.Errorf("not refreshed yet")
		}
		return nil
	})
	w.Eventually(w.IsReady("ci"))
	w.searchForSentinels()

	// The user revokes it, and the server quotes once more.
	second := w.learnGrant("ci")
	remove = w.Coder.Inject(coderd.Fault{
		Kind: coderd.FaultStatus, Status: 400, Method: "POST", Path: "/oauth2/tokens", Message: "invalid_grant",
		Detail: "quoted: " + second.Grant.RefreshToken,
	})
	w.Must(w.Coder.RevokeOAuthGrant("ada", second.Client.ID))
	w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonReauthenticationRequired),
		w.IsNotReady("ci", v1alpha1.ReasonReauthenticationRequired, "quoted"))
	remove()
	w.learnGrant("ci")
	_, again := w.openPage(w.approvedBy("ada", "ci"))
	w.Eventually(w.IsReady("ci"))
	w.learnGrant("ci")
	w.searchForSentinels(again)

	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.goneWithGrant("ci"), w.hasGrants("ada", 0), w.ownApps(0))
	w.searchForSentinels()
}

// grantDocument is what the Secret of a session's grant holds, as far as it is secret
// or says whose it is.
type grantDocument struct {
	Client  struct{ ID, Secret, ManagementToken string }
	Attempt struct{ State, Verifier, RedirectURI string }
	Grant   struct{ AccessToken, RefreshToken string }
}

// basicAuthorization is how the client shows its secret (RFC 6749, section 2.3.1).
func (d *grantDocument) basicAuthorization() string {
	return base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(d.Client.ID) + ":" + url.QueryEscape(d.Client.Secret)))
}

// learnGrant takes down the credentials of a session's grant as they are now.
func (w *operatorEnv) learnGrant(session string) *grantDocument {
	w.T.Helper()
	d := &grantDocument{}
	w.Must(json.Unmarshal(w.CurrentSecret(session + "-oauth").Data["state"], d))
	if d.Client.Secret == "" || d.Client.ManagementToken == "" ||
		(d.Attempt.State == "" || d.Attempt.Verifier == "") && (d.Grant.AccessToken == "" || d.Grant.RefreshToken == "") {
		w.T.Fatal("the document of the grant lacks what is to be searched for")
	}
	for _, value := range []string{
		d.Client.Secret, d.basicAuthorization(), d.Client.ManagementToken, d.Attempt.State, d.Attempt.Verifier,
		d.Grant.AccessToken, d.Grant.RefreshToken,
	} {
		if value != "" && !slices.Contains(w.sentinels, value) {
			w.sentinels = append(w.sentinels, value)
		}
	}
	return d
}

// approvedBy is where a user who consents is sent to. It is not opened.
func (w *operatorEnv) approvedBy(user, session string) string {
	w.T.Helper()
	location, err := w.Coder.ApproveOAuth(user, w.CurrentSession(session).Status.Authorization.URL)
	w.Must(err)
	w.sentinels = append(w.sentinels, codeOf(location))
	return location
}

func codeOf(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return ""
	}
	return u.Query().Get("code")
}

// asksAnew: a person is asked to consent, with another state than this.
func (w *operatorEnv) asksAnew(session, state string) wait.Check {
	return func(ctx context.Context) error {
		s, err := w.GetSession(ctx, session)
		if err == nil && (s.Status.Authorization == nil || strings.Contains(s.Status.Authorization.URL, state)) {
			err = fmt.Errorf("session %s shows no other URL", session)
		}
		return err
	}
}

// withoutState is an authorization URL without the one parameter that may stand there
// alone: the browser of the person has to bring it back.
func withoutState(w *operatorEnv, address string) string {
	u, err := url.Parse(address)
	w.Must(err)
	query := u.Query()
	query.Del("state")
	u.RawQuery = query.Encode()
	return u.String()
}

// searchForSentinels looks for secret values wherever they may not be, the given pages
// among it.
func (w *operatorEnv) searchForSentinels(pages ...string) {
	w.T.Helper()
	ctx := w.T.Context()
	places := map[string]string{"log": logs.String(), "page": strings.Join(pages, "\n")}
	var sessions v1alpha1.CoderSessionList
	w.Must(w.Client.List(ctx, &sessions, client.InNamespace(w.Namespace)))
	for i := range sessions.Items {
		if authorization := sessions.Items[i].Status.Authorization; authorization != nil {
			authorization.URL = withoutState(w, authorization.URL)
		}
	}
	places["sessions"] = textOf(w, sessions)
	for _, list := range []client.ObjectList{&v1alpha1.CoderDeploymentList{}, &corev1.ConfigMapList{}} {
		w.Must(w.Client.List(ctx, list, client.InNamespace(w.Namespace)))
		places[fmt.Sprintf("%T", list)] = textOf(w, list)
	}
	families, err := prometheus.Gatherers{metrics.Registry, w.operator.Registry}.Gather()
	w.Must(err)
	places["metrics"] = fmt.Sprint(families)
	places["events"] = textOf(w, w.listEvents(ctx))
	var secrets corev1.SecretList
	w.Must(w.Client.List(ctx, &secrets, client.InNamespace(w.Namespace)))
	for i := range secrets.Items {
		secrets.Items[i].Data = nil
	}
	places["metadata of Secrets"] = textOf(w, secrets.Items)
	for place, content := range places {
		for _, value := range w.sentinels {
			if strings.Contains(content, value) || strings.Contains(content, strings.ReplaceAll(value, "\n", `\n`)) {
				w.T.Errorf("a credential stands in: %s", place)
			}
		}
	}
}

func textOf(w *operatorEnv, object any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	w.Must(encoder.Encode(object))
	return out.String()
}

// B94: a refusal that lasts is one event, not one in every pass.
func TestAWarningIsGivenOnce(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("200ms")))
	w.Eventually(w.IsVerified("prod"))
	w.Must(w.Coder.RevokeKey(string(w.CurrentSecret("token").Data["token"])[:10]))
	w.Eventually(w.hasEvent(corev1.EventTypeWarning, v1alpha1.ReasonUnauthorized, ""))
	verified := w.countVerifications()
	w.Eventually(func(context.Context) error {
		if w.countVerifications() < verified+5 {
			return fmt.Errorf("not asked often enough yet")
		}
		return nil
	})
	warnings := 0
	for _, e := range w.listEvents(t.Context()) {
		if e.Reason == v1alpha1.ReasonUnauthorized {
			warnings++
			if e.Series != nil {
				warnings += int(e.Series.Count)
			}
		}
	}
	if warnings != 1 {
		t.Errorf("%d warnings for one refusal", warnings)
	}
}

// B92: what this version or the server cannot do is said, and nothing is minted for it.
func TestWhatCannotBeHadIsSaid(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"),
		w.NewSession("oauth", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}),
		w.NewMintedSession("bound", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
			spec.Workspace = &v1alpha1.WorkspaceRef{Owner: "ada", Name: "dev"}
		}))
	w.Eventually(
		w.IsNotReady("oauth", v1alpha1.ReasonConfigInvalid, "OAuth2 provider"),
		w.IsNotReady("bound", v1alpha1.ReasonWorkspaceUnknown, "no workspace"),
		w.hasLiveTokens(0),
	)
}

// B93: a server that never answers holds nothing up for longer than the timeout.
func TestAServerThatNeverAnswersTimesOut(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	gate := coderd.NewGate()
	defer gate.Release()
	w.Coder.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate})
	w.Create(w.newDeployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) { spec.Verify.Timeout = "300ms" }))
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnreachable, ""))
}
