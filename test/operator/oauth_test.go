// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// provider switches the server's OAuth2 provider on, open to registrations.
func provider(o *worldOptions) {
	o.server.OAuth2Provider, o.server.DynamicRegistration = true, true
	o.server.Experiments = []string{"oauth2"}
}

// lifetime of access tokens.
func accessLifetime(d time.Duration) setting {
	return func(o *worldOptions) { o.server.SessionDuration = d }
}

func (w *world) oauth(name string, changes ...func(*v1alpha1.CoderSessionSpec)) *v1alpha1.CoderSession {
	return w.session(name, v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}, changes...)
}

// asks: a person is asked to consent.
func (w *world) asks(name, reason string) check {
	return func(ctx context.Context) error {
		if err := w.notReady(name, reason, "")(ctx); err != nil {
			return err
		}
		if s, err := w.getSession(ctx, name); err != nil || s.Status.Authorization == nil {
			return errors.Join(err, fmt.Errorf("session %s shows no URL", name))
		}
		return nil
	}
}

// consents does what a person does with the URL that the session shows, and returns the page that ends it.
func (w *world) consents(name, user string) (int, string) {
	w.t.Helper()
	location, err := w.coder.ApproveOAuth(user, w.nowSession(name).Status.Authorization.URL)
	w.must(err)
	return w.browse(location)
}

// browse opens a page as a browser would that trusts nobody.
func (w *world) browse(location string) (int, string) {
	w.t.Helper()
	resp, err := http.Get(location)
	w.must(err)
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	w.must(err)
	return resp.StatusCode, string(page)
}

func (w *world) grants(user string) []coderd.OAuthGrant { return w.coder.OAuthGrants(user, "") }

// ownApps are the clients that sessions have registered.
func (w *world) ownApps(want int) check {
	return func(context.Context) error {
		if got := len(w.coder.OAuthApps()); got != want {
			return fmt.Errorf("%d clients are registered, want %d", got, want)
		}
		return nil
	}
}

func (w *world) granted(user string, want int) check {
	return func(context.Context) error {
		if got := len(w.grants(user)); got != want {
			return fmt.Errorf("user %s has %d grants, want %d", user, got, want)
		}
		return nil
	}
}

// gone: neither the session nor its Secrets are there.
func (w *world) goneWithGrant(name string) check {
	return func(ctx context.Context) error {
		for _, secret := range []string{name, name + "-oauth"} {
			if _, err := w.getSecret(ctx, secret); err == nil {
				return fmt.Errorf("Secret %s is still there", secret)
			}
		}
		return nil
	}
}

// eventsOf counts how often something was told of a session.
func (w *world) eventsOf(session, reason string) (count int) {
	for _, e := range w.events(w.t.Context()) {
		if e.Regarding.Name == session && e.Reason == reason {
			count++
			if e.Series != nil {
				count += int(e.Series.Count) - 1
			}
		}
	}
	return count
}

func bothProfiles(t *testing.T, test func(*testing.T, coderd.Profile)) {
	t.Parallel()
	for _, p := range []coderd.Profile{coderd.ProfileR30, coderd.ProfileNew} {
		t.Run(string(p), func(t *testing.T) { test(t, p) })
	}
}

// A person consents once; the operator publishes the grant, and gives all of it back in the end (B61, B62, B71).
func TestAPersonConsentsOnce(t *testing.T) {
	bothProfiles(t, func(t *testing.T, p coderd.Profile) {
		w := newWorld(t, mTLS, provider, profile(p))
		w.startOperator()
		w.create(w.deployment("prod"), w.oauth("ci"))
		w.eventually(w.asks("ci", v1alpha1.ReasonAwaitingAuthorization), w.ownApps(1))
		shown := w.nowSession("ci").Status.Authorization
		if left := time.Until(shown.ExpirationTime.Time); left > 10*time.Minute || left < 8*time.Minute {
			t.Errorf("the URL ends in %s, want ten minutes (B63)", left)
		}
		if u, err := url.Parse(shown.URL); err != nil || u.Query().Get("code_challenge_method") != "S256" || len(u.Query().Get("state")) < 32 {
			t.Errorf("the URL is %s", shown.URL)
		}
		if status, page := w.consents("ci", "ada"); status != http.StatusOK || !strings.Contains(page, "ci") {
			t.Errorf("%d: %s", status, page)
		}
		w.eventually(w.ready("ci"), w.granted("ada", 1))
		s := w.nowSession("ci")
		if s.Status.User == nil || s.Status.User.Username != "ada" || s.Status.Token == nil || s.Status.Authorization != nil || s.Status.NextRefreshTime == nil {
			t.Errorf("status is %+v", s.Status)
		}
		w.delete(s)
		w.eventually(w.goneWithGrant("ci"), w.granted("ada", 0), w.ownApps(0))
	})
}

// B65, B69: the grant is refreshed before it ends, and the Secret follows.
func TestAGrantIsRefreshedInTime(t *testing.T) {
	bothProfiles(t, func(t *testing.T, p coderd.Profile) {
		w := newWorld(t, mTLS, provider, profile(p), accessLifetime(12*time.Second))
		w.startOperator()
		w.create(w.deployment("prod"), w.oauth("ci"))
		w.eventually(w.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
		w.consents("ci", "ada")
		w.eventually(w.ready("ci"))
		first := w.nowSecret("ci")
		w.eventually(func(ctx context.Context) error {
			s, err := w.getSecret(ctx, "ci")
			if err == nil && string(s.Data["session"]) == string(first.Data["session"]) {
				err = errors.New("not refreshed yet")
			}
			return err
		}, w.ready("ci"), w.granted("ada", 1))
	})
}

// B66, B68: a grant that the user has revoked is noticed; a person has to consent again, and does.
func TestARevokedGrantAsksAgain(t *testing.T) {
	bothProfiles(t, func(t *testing.T, p coderd.Profile) {
		w := newWorld(t, mTLS, provider, profile(p))
		w.startOperator()
		w.create(w.deployment("prod", every("1s")), w.oauth("ci"))
		w.eventually(w.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
		w.consents("ci", "ada")
		w.eventually(w.ready("ci"))
		w.must(w.coder.RevokeOAuthGrant("ada", w.grants("ada")[0].ClientID))
		w.eventually(w.asks("ci", v1alpha1.ReasonReauthenticationRequired))
		refreshes := w.coder.Count("POST", "/oauth2/tokens")
		w.throughout(2500*time.Millisecond, w.asks("ci", v1alpha1.ReasonReauthenticationRequired))
		if more := w.coder.Count("POST", "/oauth2/tokens") - refreshes; more > 0 {
			t.Errorf("%d more requests for tokens", more)
		}
		if got := w.eventsOf("ci", v1alpha1.ReasonReauthenticationRequired); got != 1 {
			t.Errorf("%d events", got)
		}
		w.consents("ci", "ada")
		w.eventually(w.ready("ci"), w.ownApps(1))
	})
}

// B62: whoever comes back with a URL that is used, unknown or declined changes nothing, and is told so.
func TestACallbackIsGoodForOneAttempt(t *testing.T) {
	w := newWorld(t, mTLS, provider)
	w.startOperator()
	w.create(w.deployment("prod"), w.oauth("ci"))
	w.eventually(w.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
	location, err := w.coder.ApproveOAuth("ada", w.nowSession("ci").Status.Authorization.URL)
	w.must(err)
	forged, err := url.Parse(location)
	w.must(err)
	query := forged.Query()
	query.Set("state", query.Get("state")+"x")
	forged.RawQuery = query.Encode()
	if status, _ := w.browse(forged.String()); status < 400 {
		t.Errorf("a forged state is answered with %d", status)
	}
	w.throughout(time.Second, w.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
	if status, _ := w.browse(location); status != http.StatusOK {
		t.Errorf("the true one is answered with %d", status)
	}
	w.eventually(w.ready("ci"))
	if status, _ := w.browse(location); status < 400 {
		t.Errorf("a used one is answered with %d", status)
	}
	w.throughout(time.Second, w.ready("ci"))
}

// The person declines: there is a new URL, and the session says what happened.
func TestADeclinedConsentIsAskedForAnew(t *testing.T) {
	w := newWorld(t, mTLS, provider)
	w.startOperator()
	w.create(w.deployment("prod"), w.oauth("ci"))
	w.eventually(w.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
	before := w.nowSession("ci").Status.Authorization.URL
	shown, err := url.Parse(before)
	w.must(err)
	back := shown.Query().Get("redirect_uri") + "?" + url.Values{"error": {"access_denied"}, "state": {shown.Query().Get("state")}}.Encode()
	w.browse(back)
	w.eventually(func(ctx context.Context) error {
		s, err := w.getSession(ctx, "ci")
		if err == nil && (s.Status.Authorization == nil || s.Status.Authorization.URL == before) {
			err = errors.New("the same URL")
		}
		return err
	}, w.notReady("ci", v1alpha1.ReasonAwaitingAuthorization, "the last attempt failed"))
}

// B61: a server that takes no registrations, and none that somebody made by hand.
func TestRegistrationThatIsOffIsSaid(t *testing.T) {
	w := newWorld(t, mTLS, provider)
	w.coder.SetDynamicRegistration(false)
	w.startOperator()
	w.create(w.deployment("prod", every("1s")), w.oauth("ci"))
	w.eventually(w.notReady("ci", v1alpha1.ReasonConfigInvalid, "registration"))
	app, secret, err := w.coder.CreateOAuthApp(coderd.OAuthAppOptions{Name: "shared", RedirectURIs: w.operator.redirectURIs})
	w.must(err)
	w.sentinels = append(w.sentinels, secret)
	w.writeSecret("client", map[string]string{"client_id": app.ClientID, "client_secret": secret})
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.OAuth = &v1alpha1.OAuthClient{ClientSecretName: "client"} })
	w.eventually(w.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
	w.consents("ci", "ada")
	w.eventually(w.ready("ci"))

	// Coder keeps one pair per user and client: a second session of the same user would sign the first one out.
	w.create(w.oauth("second"))
	w.eventually(w.asks("second", v1alpha1.ReasonAwaitingAuthorization))
	w.consents("second", "ada")
	w.eventually(w.notReady("second", v1alpha1.ReasonConfigInvalid, w.namespace+"/ci"))
	w.consents("second", "ci-bot") // another user's pair is another one
	w.eventually(w.ready("second"))
	w.delete(w.nowSession("second"))
	w.eventually(w.goneWithGrant("second"), w.ownApps(1))
}

// B71: another method takes over without a gap, and what was granted is given back.
func TestSwitchingTheMethodRevokesTheGrant(t *testing.T) {
	w := newWorld(t, mTLS, provider)
	w.startOperator()
	w.create(w.deployment("prod"), w.oauth("ci"))
	w.eventually(w.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
	w.consents("ci", "ada")
	w.eventually(w.ready("ci"))
	w.changeSession("ci", func(s *v1alpha1.CoderSession) {
		s.Spec.Auth = v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}
	})
	w.throughout(time.Second, func(ctx context.Context) error {
		s, err := w.getSecret(ctx, "ci")
		if err == nil && !w.coder.AcceptsToken(string(s.Data["session"])) {
			err = errors.New("the Secret holds a token that is not accepted")
		}
		return err
	})
	w.eventually(w.ready("ci"), w.granted("ada", 0), w.ownApps(0), w.liveTokens(1))
	w.eventually(func(ctx context.Context) error {
		if _, err := w.getSecret(ctx, "ci-oauth"); err == nil {
			return errors.New("the document is still there")
		}
		return nil
	})
}

// B70: a consent that does not cover what is asked for is of no use.
func TestScopesMustBeGranted(t *testing.T) {
	w := newWorld(t, mTLS, provider)
	w.startOperator()
	w.create(w.deployment("prod"), w.oauth("ci", func(s *v1alpha1.CoderSessionSpec) {
		s.Auth.OAuth.Scopes = []v1alpha1.Scope{"workspace:read"}
	}))
	w.eventually(w.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
	w.consents("ci", "ada")
	w.eventually(w.ready("ci"))
	if got := w.nowSession("ci").Status.Token.Scopes; len(got) != 1 || got[0] != "workspace:read" {
		t.Errorf("the scopes are %v", got)
	}
	w.changeSession("ci", func(s *v1alpha1.CoderSession) {
		s.Spec.Auth.OAuth.Scopes = []v1alpha1.Scope{"workspace:read", "workspace:ssh"}
	})
	w.eventually(w.asks("ci", v1alpha1.ReasonReauthenticationRequired), w.granted("ada", 0))
	w.consents("ci", "ada")
	w.eventually(w.ready("ci"))
}

// B73: a grant of one server is worthless at another.
func TestAGrantStaysWithItsServer(t *testing.T) {
	w := newWorld(t, mTLS, provider)
	other := newServerOf(w)
	other.coder.SetOAuth2Provider(true)
	other.coder.SetDynamicRegistration(true)
	w.startOperator()
	w.create(w.deployment("prod"), w.oauth("ci"))
	w.eventually(w.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
	w.consents("ci", "ada")
	w.eventually(w.ready("ci"))
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) {
		d.Spec.URL, d.Spec.Token.SecretRef.Name = other.listener.URL(), "token-of-other"
	})
	w.eventually(w.asks("ci", v1alpha1.ReasonReauthenticationRequired))
	if got := len(other.coder.OAuthApps()); got != 1 {
		t.Errorf("%d clients at the new server", got)
	}
	if u, err := url.Parse(w.nowSession("ci").Status.Authorization.URL); err != nil || u.Query().Get("client_id") != other.coder.OAuthApps()[0].ClientID {
		t.Errorf("the URL asks for the client of the old server: %v", u)
	}
}

// B23: the name of the document belongs to somebody else.
func TestAForeignDocumentIsLeftAlone(t *testing.T) {
	w := newWorld(t, mTLS, provider)
	w.writeSecret("ci-oauth", map[string]string{"mine": "yes"})
	w.startOperator()
	w.create(w.deployment("prod"), w.oauth("ci"))
	w.eventually(w.notReady("ci", v1alpha1.ReasonConfigInvalid, `"ci-oauth"`))
	w.delete(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ci-oauth"}})
	w.eventually(w.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
}
