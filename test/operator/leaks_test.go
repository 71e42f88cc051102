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
)

// B90: no credential stands in a status, an event, a ConfigMap, a log line or a
// Secret that is not made for it; also not after every kind of failure.
func TestNoCredentialLeaves(t *testing.T) {
	w := newWorld(t, mTLS)
	w.writeSecret("mine", map[string]string{"token": w.userToken("ada")})
	w.startOperator()
	w.create(w.deployment("prod", every("500ms")),
		w.mint("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
			spec.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true, Template: map[string]string{"t": "{{ .Token }}"}}
		}),
		w.mint("broken", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
			spec.Secret = &v1alpha1.GeneratedSecret{Template: map[string]string{"t": "{{ .Token | nothing }}"}}
		}),
		w.supplied("own", "mine"))
	w.eventually(w.ready("ci"), w.ready("own"), w.notReady("broken", v1alpha1.ReasonConfigInvalid, ""))
	w.sentinels = append(w.sentinels, string(w.nowSecret("ci").Data["session"]), string(w.nowSecret("mtls").Data["tls.key"]))

	// A token that is no token, one that is refused, a server that quotes what it
	// was sent, settings in halves.
	w.writeSecret("mine", map[string]string{"token": w.sentinel("not-a-token")})
	w.eventually(w.notReady("own", v1alpha1.ReasonConfigInvalid, "mine"))
	remove := w.coder.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized, Message: "refused " + w.sentinels[0], Detail: "Coder-Session-Token: " + w.sentinels[0]})
	w.eventually(w.deploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnauthorized, ""))
	remove()
	w.writeSecret("edge-headers", map[string]string{"id": w.sentinel("header") + "\nX: y"})
	w.eventually(w.deploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonConfigInvalid, "edge-headers"))

	w.searchForSentinels()
}

// B90: nor does anything that an OAuth session lives on, from its registration to its
// deletion, with whatever goes wrong on the way.
func TestNoCredentialOfAGrantLeaves(t *testing.T) {
	w := newWorld(t, mTLS, provider, accessLifetime(40*time.Second))
	w.startOperator()
	w.create(w.deployment("prod", every("1s")), w.oauth("ci"))
	w.eventually(w.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
	attempt := w.learnGrant("ci").Attempt

	// The person declines, and somebody puts credentials into what is said of it.
	leaked := w.userToken("ada")
	_, declined := w.browse(attempt.RedirectURI + "?" + url.Values{
		"error": {"access_denied"}, "error_description": {"not for " + leaked}, "state": {attempt.State},
	}.Encode())
	w.eventually(w.asksAnew("ci", attempt.State), w.notReady("ci", v1alpha1.ReasonAwaitingAuthorization, "not for"))
	w.searchForSentinels(declined)

	// The server refuses the code, and quotes all that it was sent.
	d := w.learnGrant("ci")
	location := w.approvedBy("ada", "ci")
	remove := w.coder.Inject(coderd.Fault{
		Kind: coderd.FaultStatus, Status: 400, Method: "POST", Path: "/oauth2/tokens", Message: "invalid_grant",
		Detail: strings.Join([]string{"quoted:", codeOf(location), d.Attempt.Verifier, d.Client.Secret, d.basic()}, " "),
	})
	_, refused := w.browse(location)
	remove()
	w.eventually(w.asksAnew("ci", d.Attempt.State), w.notReady("ci", v1alpha1.ReasonAwaitingAuthorization, "quoted"))
	w.searchForSentinels(refused)

	// Consent, with a forged state before it and the same address after it.
	w.learnGrant("ci")
	location = w.approvedBy("ada", "ci")
	_, forged := w.browse(location + "x") // the state is its last parameter
	_, granted := w.browse(location)
	_, used := w.browse(location)
	w.eventually(w.ready("ci"))
	first := w.learnGrant("ci")
	w.searchForSentinels(forged, granted, used)

	// A refresh fails, with a server that quotes, and then succeeds.
	remove = w.coder.Inject(coderd.Fault{
		Kind: coderd.FaultStatus, Status: 400, Method: "POST", Path: "/oauth2/tokens", Message: "invalid_request",
		Detail: "quoted: " + first.Grant.RefreshToken + " " + first.Client.Secret,
	})
	asked := w.coder.Count("POST", "/oauth2/tokens")
	w.changeSession("ci", func(s *v1alpha1.CoderSession) {
		before := v1alpha1.Duration("35s")
		s.Spec.Rotation = &v1alpha1.Rotation{RenewBefore: &before}
	})
	w.eventually(func(context.Context) error {
		if w.coder.Count("POST", "/oauth2/tokens") == asked {
			return fmt.Errorf("no refresh yet")
		}
		return nil
	})
	w.coder.Reconfigure(func(o *coderd.Options) { o.SessionDuration = time.Hour })
	remove()
	w.eventually(func(context.Context) error {
		if w.learnGrant("ci").Grant.AccessToken == first.Grant.AccessToken {
			return fmt.Errorf("not refreshed yet")
		}
		return nil
	})
	w.eventually(w.ready("ci"))
	w.searchForSentinels()

	// The user revokes it, and the server quotes once more.
	second := w.learnGrant("ci")
	remove = w.coder.Inject(coderd.Fault{
		Kind: coderd.FaultStatus, Status: 400, Method: "POST", Path: "/oauth2/tokens", Message: "invalid_grant",
		Detail: "quoted: " + second.Grant.RefreshToken,
	})
	w.must(w.coder.RevokeOAuthGrant("ada", second.Client.ID))
	w.eventually(w.asks("ci", v1alpha1.ReasonReauthenticationRequired), w.notReady("ci", v1alpha1.ReasonReauthenticationRequired, "quoted"))
	remove()
	w.learnGrant("ci")
	_, again := w.browse(w.approvedBy("ada", "ci"))
	w.eventually(w.ready("ci"))
	w.learnGrant("ci")
	w.searchForSentinels(again)

	w.delete(w.nowSession("ci"))
	w.eventually(w.goneWithGrant("ci"), w.granted("ada", 0), w.ownApps(0))
	w.searchForSentinels()
}

// grantDocument is what the Secret of a session's grant holds, as far as it is secret
// or says whose it is.
type grantDocument struct {
	Client  struct{ ID, Secret, ManagementToken string }
	Attempt struct{ State, Verifier, RedirectURI string }
	Grant   struct{ AccessToken, RefreshToken string }
}

// basic is how the client shows its secret (RFC 6749, section 2.3.1).
func (d *grantDocument) basic() string {
	return base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(d.Client.ID) + ":" + url.QueryEscape(d.Client.Secret)))
}

// learnGrant takes down the credentials of a session's grant as they are now.
func (w *world) learnGrant(session string) *grantDocument {
	w.t.Helper()
	d := &grantDocument{}
	w.must(json.Unmarshal(w.nowSecret(session + "-oauth").Data["state"], d))
	if d.Client.Secret == "" || d.Client.ManagementToken == "" ||
		(d.Attempt.State == "" || d.Attempt.Verifier == "") && (d.Grant.AccessToken == "" || d.Grant.RefreshToken == "") {
		w.t.Fatal("the document of the grant lacks what is to be searched for")
	}
	for _, value := range []string{
		d.Client.Secret, d.basic(), d.Client.ManagementToken, d.Attempt.State, d.Attempt.Verifier, d.Grant.AccessToken, d.Grant.RefreshToken,
	} {
		if value != "" && !slices.Contains(w.sentinels, value) {
			w.sentinels = append(w.sentinels, value)
		}
	}
	return d
}

// approvedBy is where a user is sent who consents; nobody has followed yet.
func (w *world) approvedBy(user, session string) string {
	w.t.Helper()
	location, err := w.coder.ApproveOAuth(user, w.nowSession(session).Status.Authorization.URL)
	w.must(err)
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
func (w *world) asksAnew(session, state string) check {
	return func(ctx context.Context) error {
		s, err := w.getSession(ctx, session)
		if err == nil && (s.Status.Authorization == nil || strings.Contains(s.Status.Authorization.URL, state)) {
			err = fmt.Errorf("session %s shows no other URL", session)
		}
		return err
	}
}

// withoutState is an authorization URL without the one parameter that may stand there
// alone: whoever consents has to bring it back.
func withoutState(w *world, address string) string {
	u, err := url.Parse(address)
	w.must(err)
	query := u.Query()
	query.Del("state")
	u.RawQuery = query.Encode()
	return u.String()
}

// searchForSentinels looks for secret values wherever they may not be, the given pages
// among it.
func (w *world) searchForSentinels(pages ...string) {
	w.t.Helper()
	ctx := w.t.Context()
	places := map[string]string{"log": logs.String(), "page": strings.Join(pages, "\n")}
	var sessions v1alpha1.CoderSessionList
	w.must(w.client.List(ctx, &sessions, client.InNamespace(w.namespace)))
	for i := range sessions.Items {
		if authorization := sessions.Items[i].Status.Authorization; authorization != nil {
			authorization.URL = withoutState(w, authorization.URL)
		}
	}
	places["sessions"] = text(w, sessions)
	for _, list := range []client.ObjectList{&v1alpha1.CoderDeploymentList{}, &corev1.ConfigMapList{}} {
		w.must(w.client.List(ctx, list, client.InNamespace(w.namespace)))
		places[fmt.Sprintf("%T", list)] = text(w, list)
	}
	families, err := prometheus.Gatherers{metrics.Registry, w.operator.registry}.Gather()
	w.must(err)
	places["metrics"] = fmt.Sprint(families)
	places["events"] = text(w, w.events(ctx))
	var secrets corev1.SecretList
	w.must(w.client.List(ctx, &secrets, client.InNamespace(w.namespace)))
	for i := range secrets.Items {
		secrets.Items[i].Data = nil
	}
	places["metadata of Secrets"] = text(w, secrets.Items)
	for place, content := range places {
		for _, value := range w.sentinels {
			if strings.Contains(content, value) || strings.Contains(content, strings.ReplaceAll(value, "\n", `\n`)) {
				w.t.Errorf("a credential stands in: %s", place)
			}
		}
	}
}

func text(w *world, object any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	w.must(encoder.Encode(object))
	return out.String()
}

// B94: a refusal that lasts is one event, not one in every pass.
func TestAWarningIsGivenOnce(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", every("200ms")))
	w.eventually(w.verified("prod"))
	w.must(w.coder.RevokeKey(string(w.nowSecret("token").Data["token"])[:10]))
	w.eventually(w.event(corev1.EventTypeWarning, v1alpha1.ReasonUnauthorized, ""))
	verified := w.verifications()
	w.eventually(func(context.Context) error {
		if w.verifications() < verified+5 {
			return fmt.Errorf("not asked often enough yet")
		}
		return nil
	})
	warnings := 0
	for _, e := range w.events(t.Context()) {
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
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod"),
		w.session("oauth", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}),
		w.mint("bound", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
			spec.Workspace = &v1alpha1.WorkspaceRef{Owner: "ada", Name: "dev"}
		}))
	w.eventually(
		w.notReady("oauth", v1alpha1.ReasonConfigInvalid, "OAuth2 provider"),
		w.notReady("bound", v1alpha1.ReasonWorkspaceStopped, "no workspace"),
		w.liveTokens(0),
	)
}

// B93: a server that never answers holds nothing up for longer than the timeout.
func TestAServerThatNeverAnswersTimesOut(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	gate := coderd.NewGate()
	defer gate.Release()
	w.coder.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate})
	w.create(w.deployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) { spec.Verify.Timeout = "300ms" }))
	w.eventually(w.deploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnreachable, ""))
}
