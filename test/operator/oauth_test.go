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
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// withOAuthProvider switches the server's OAuth2 provider on, open to registrations.
func withOAuthProvider(o *envOptions) {
	o.server.OAuth2Provider, o.server.DynamicRegistration = true, true
	o.server.Experiments = []string{"oauth2"}
}

// lifetime of access tokens.
func accessLifetime(d time.Duration) setting {
	return func(o *envOptions) { o.server.SessionDuration = d }
}

func (w *operatorEnv) newOAuthSession(name string, changes ...func(*v1alpha1.CoderSessionSpec)) *v1alpha1.CoderSession {
	return w.NewSession(name, v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}, changes...)
}

// asksForConsent: a person is asked to consent.
func (w *operatorEnv) asksForConsent(name, reason string) wait.Check {
	return func(ctx context.Context) error {
		if err := w.IsNotReady(name, reason, "")(ctx); err != nil {
			return err
		}
		if s, err := w.GetSession(ctx, name); err != nil || s.Status.Authorization == nil {
			return errors.Join(err, fmt.Errorf("session %s shows no URL", name))
		}
		return nil
	}
}

// giveConsent does what a person does with the URL that the session shows, and returns the page
// that ends it.
func (w *operatorEnv) giveConsent(name, user string) (int, string) {
	w.T.Helper()
	location, err := w.Coder.ApproveOAuth(user, w.CurrentSession(name).Status.Authorization.URL)
	w.Must(err)
	return w.openPage(location)
}

// openPage opens a page as a browser would, without checking certificates.
func (w *operatorEnv) openPage(location string) (int, string) {
	w.T.Helper()
	resp, err := http.Get(location)
	w.Must(err)
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	w.Must(err)
	return resp.StatusCode, string(page)
}

func (w *operatorEnv) grantsOf(user string) []coderd.OAuthGrant { return w.Coder.OAuthGrants(user, "") }

// ownApps are the clients that sessions have registered.
func (w *operatorEnv) ownApps(want int) wait.Check {
	return func(context.Context) error {
		if got := len(w.Coder.OAuthApps()); got != want {
			return fmt.Errorf("%d clients are registered, want %d", got, want)
		}
		return nil
	}
}

func (w *operatorEnv) hasGrants(user string, want int) wait.Check {
	return func(context.Context) error {
		if got := len(w.grantsOf(user)); got != want {
			return fmt.Errorf("user %s has %d grants, want %d", user, got, want)
		}
		return nil
	}
}

// gone: neither the session nor its Secrets are there.
func (w *operatorEnv) goneWithGrant(name string) wait.Check {
	return func(ctx context.Context) error {
		for _, secret := range []string{name, name + "-oauth"} {
			if _, err := w.GetSecret(ctx, secret); err == nil {
				return fmt.Errorf("Secret %s is still there", secret)
			}
		}
		return nil
	}
}

// eventsOf counts how often something was told of a session.
func (w *operatorEnv) eventsOf(session, reason string) (count int) {
	for _, e := range w.listEvents(w.T.Context()) {
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

// A person consents once; the operator publishes the grant, and gives all of it back in the end
// (B61, B62, B71).
func TestAPersonConsentsOnce(t *testing.T) {
	bothProfiles(t, func(t *testing.T, p coderd.Profile) {
		w := newEnv(t, withMTLS, withOAuthProvider, withProfile(p))
		w.startOperator()
		w.Create(w.newDeployment("prod"), w.newOAuthSession("ci"))
		w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization), w.ownApps(1))
		shown := w.CurrentSession("ci").Status.Authorization
		if left := time.Until(shown.ExpirationTime.Time); left > 10*time.Minute || left < 8*time.Minute {
			t.Errorf("the URL ends in %s, want ten minutes (B63)", left)
		}
		if u, err := url.Parse(shown.URL); err != nil || u.Query().Get("code_challenge_method") != "S256" ||
			len(u.Query().Get("state")) < 32 {
			t.Errorf("the URL is %s", shown.URL)
		}
		if status, page := w.giveConsent("ci", "ada"); status != http.StatusOK || !strings.Contains(page, "ci") {
			t.Errorf("%d: %s", status, page)
		}
		w.Eventually(w.IsReady("ci"), w.hasGrants("ada", 1))
		s := w.CurrentSession("ci")
		if s.Status.User == nil || s.Status.User.Username != "ada" || s.Status.Token == nil ||
			s.Status.Authorization != nil || s.Status.NextRefreshTime == nil {
			t.Errorf("status is %+v", s.Status)
		}
		w.Delete(s)
		w.Eventually(w.goneWithGrant("ci"), w.hasGrants("ada", 0), w.ownApps(0))
	})
}

// B65, B69: the grant is refreshed before it ends, and the Secret follows.
func TestAGrantIsRefreshedInTime(t *testing.T) {
	bothProfiles(t, func(t *testing.T, p coderd.Profile) {
		w := newEnv(t, withMTLS, withOAuthProvider, withProfile(p), accessLifetime(12*time.Second))
		w.startOperator()
		w.Create(w.newDeployment("prod"), w.newOAuthSession("ci"))
		w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
		w.giveConsent("ci", "ada")
		w.Eventually(w.IsReady("ci"))
		first := w.CurrentSecret("ci")
		w.Eventually(func(ctx context.Context) error {
			s, err := w.GetSecret(ctx, "ci")
			if err == nil && string(s.Data["session"]) == string(first.Data["session"]) {
				err = errors.New("not refreshed yet")
			}
			return err
		}, w.IsReady("ci"), w.hasGrants("ada", 1))
	})
}

// B66, B68: a grant that the user has revoked is noticed; a person has to consent again, and does.
func TestARevokedGrantAsksAgain(t *testing.T) {
	bothProfiles(t, func(t *testing.T, p coderd.Profile) {
		w := newEnv(t, withMTLS, withOAuthProvider, withProfile(p))
		w.startOperator()
		w.Create(w.newDeployment("prod", withInterval("1s")), w.newOAuthSession("ci"))
		w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
		w.giveConsent("ci", "ada")
		w.Eventually(w.IsReady("ci"))
		w.Must(w.Coder.RevokeOAuthGrant("ada", w.grantsOf("ada")[0].ClientID))
		w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonReauthenticationRequired))
		refreshes := w.Coder.Count("POST", "/oauth2/tokens")
		w.Throughout(2500*time.Millisecond, w.asksForConsent("ci", v1alpha1.ReasonReauthenticationRequired))
		if more := w.Coder.Count("POST", "/oauth2/tokens") - refreshes; more > 0 {
			t.Errorf("%d more requests for tokens", more)
		}
		if got := w.eventsOf("ci", v1alpha1.ReasonReauthenticationRequired); got != 1 {
			t.Errorf("%d events", got)
		}
		w.giveConsent("ci", "ada")
		w.Eventually(w.IsReady("ci"), w.ownApps(1))
	})
}

// B62: a callback that is used, unknown or declined changes nothing, and its page says so.
func TestACallbackIsGoodForOneAttempt(t *testing.T) {
	w := newEnv(t, withMTLS, withOAuthProvider)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.newOAuthSession("ci"))
	w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
	location, err := w.Coder.ApproveOAuth("ada", w.CurrentSession("ci").Status.Authorization.URL)
	w.Must(err)
	forged, err := url.Parse(location)
	w.Must(err)
	query := forged.Query()
	query.Set("state", query.Get("state")+"x")
	forged.RawQuery = query.Encode()
	if status, _ := w.openPage(forged.String()); status < 400 {
		t.Errorf("a forged state is answered with %d", status)
	}
	w.Throughout(time.Second, w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
	if status, _ := w.openPage(location); status != http.StatusOK {
		t.Errorf("the true one is answered with %d", status)
	}
	w.Eventually(w.IsReady("ci"))
	if status, _ := w.openPage(location); status < 400 {
		t.Errorf("a used one is answered with %d", status)
	}
	w.Throughout(time.Second, w.IsReady("ci"))
}

// The person declines: there is a new URL, and the session says what happened.
func TestADeclinedConsentIsAskedForAnew(t *testing.T) {
	w := newEnv(t, withMTLS, withOAuthProvider)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.newOAuthSession("ci"))
	w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
	before := w.CurrentSession("ci").Status.Authorization.URL
	shown, err := url.Parse(before)
	w.Must(err)
	back := shown.Query().Get("redirect_uri") + "?" +
		url.Values{"error": {"access_denied"}, "state": {shown.Query().Get("state")}}.Encode()
	w.openPage(back)
	w.Eventually(func(ctx context.Context) error {
		s, err := w.GetSession(ctx, "ci")
		if err == nil && (s.Status.Authorization == nil || s.Status.Authorization.URL == before) {
			err = errors.New("the same URL")
		}
		return err
	}, w.IsNotReady("ci", v1alpha1.ReasonAwaitingAuthorization, "the last attempt failed"))
}

// B61: a server that takes no registrations, and no client that was registered by hand.
func TestRegistrationThatIsOffIsSaid(t *testing.T) {
	w := newEnv(t, withMTLS, withOAuthProvider)
	w.Coder.SetDynamicRegistration(false)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s")), w.newOAuthSession("ci"))
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonConfigInvalid, "registration"))
	app, secret, err := w.Coder.CreateOAuthApp(coderd.OAuthAppOptions{
		Name: "shared", RedirectURIs: w.operator.RedirectURIs})
	w.Must(err)
	w.sentinels = append(w.sentinels, secret)
	w.WriteSecret("client", map[string]string{"client_id": app.ClientID, "client_secret": secret})
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) {
		d.Spec.OAuth = &v1alpha1.OAuthClient{
			ClientSecretName: "client"}
	})
	w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
	w.giveConsent("ci", "ada")
	w.Eventually(w.IsReady("ci"))

	// Coder keeps one pair per user and client: a second session of the same user would sign the first
	// one out.
	w.Create(w.newOAuthSession("second"))
	w.Eventually(w.asksForConsent("second", v1alpha1.ReasonAwaitingAuthorization))
	w.giveConsent("second", "ada")
	w.Eventually(w.IsNotReady("second", v1alpha1.ReasonConfigInvalid, "session ci has"))
	w.giveConsent("second", "ci-bot") // another user's pair is another one
	w.Eventually(w.IsReady("second"))
	w.Delete(w.CurrentSession("second"))
	w.Eventually(w.goneWithGrant("second"), w.ownApps(1))
}

// B71: another method takes over without a gap, and what was granted is given back.
func TestSwitchingTheMethodRevokesTheGrant(t *testing.T) {
	w := newEnv(t, withMTLS, withOAuthProvider)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.newOAuthSession("ci"))
	w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
	w.giveConsent("ci", "ada")
	w.Eventually(w.IsReady("ci"))
	w.EditSession("ci", func(s *v1alpha1.CoderSession) {
		s.Spec.Auth = v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}
	})
	w.Throughout(time.Second, func(ctx context.Context) error {
		s, err := w.GetSecret(ctx, "ci")
		if err == nil && !w.Coder.AcceptsToken(string(s.Data["session"])) {
			err = errors.New("the Secret holds a token that is not accepted")
		}
		return err
	})
	w.Eventually(w.IsReady("ci"), w.hasGrants("ada", 0), w.ownApps(0), w.hasLiveTokens(1))
	w.Eventually(func(ctx context.Context) error {
		if _, err := w.GetSecret(ctx, "ci-oauth"); err == nil {
			return errors.New("the document is still there")
		}
		return nil
	})
}

// B70: a consent that does not cover what is asked for is of no use.
func TestScopesMustBeGranted(t *testing.T) {
	w := newEnv(t, withMTLS, withOAuthProvider)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.newOAuthSession("ci", func(s *v1alpha1.CoderSessionSpec) {
		s.Auth.OAuth.Scopes = []v1alpha1.Scope{"workspace:read"}
	}))
	w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
	w.giveConsent("ci", "ada")
	w.Eventually(w.IsReady("ci"))
	if got := w.CurrentSession("ci").Status.Token.Scopes; len(got) != 1 || got[0] != "workspace:read" {
		t.Errorf("the scopes are %v", got)
	}
	w.EditSession("ci", func(s *v1alpha1.CoderSession) {
		s.Spec.Auth.OAuth.Scopes = []v1alpha1.Scope{"workspace:read", "workspace:ssh"}
	})
	w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonReauthenticationRequired), w.hasGrants("ada", 0))
	w.giveConsent("ci", "ada")
	w.Eventually(w.IsReady("ci"))
}

// B73: a grant of one server is worthless at another.
func TestAGrantStaysWithItsServer(t *testing.T) {
	w := newEnv(t, withMTLS, withOAuthProvider)
	other := newServerOf(w)
	other.coder.SetOAuth2Provider(true)
	other.coder.SetDynamicRegistration(true)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.newOAuthSession("ci"))
	w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
	w.giveConsent("ci", "ada")
	w.Eventually(w.IsReady("ci"))
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) {
		d.Spec.URL, d.Spec.Token.SecretRef.Name = other.listener.URL(), "token-of-other"
	})
	w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonReauthenticationRequired))
	if got := len(other.coder.OAuthApps()); got != 1 {
		t.Errorf("%d clients at the new server", got)
	}
	if u, err := url.Parse(w.CurrentSession("ci").Status.Authorization.URL); err != nil ||
		u.Query().Get("client_id") != other.coder.OAuthApps()[0].ClientID {
		t.Errorf("the URL asks for the client of the old server: %v", u)
	}
}

// B23: the name of the document is taken by another Secret.
func TestAForeignDocumentIsLeftAlone(t *testing.T) {
	w := newEnv(t, withMTLS, withOAuthProvider)
	w.WriteSecret("ci-oauth", map[string]string{"mine": "yes"})
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.newOAuthSession("ci"))
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonConfigInvalid, `"ci-oauth"`))
	w.Delete(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "ci-oauth"}})
	w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
}
