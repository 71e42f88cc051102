// SPDX-License-Identifier: Apache-2.0

package edge_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// edgeEnv is a namespace, and a Coder server behind an nginx.
type edgeEnv struct {
	*testenv.Env
	t        *testing.T
	listener *coderd.Listener
	nginx    *nginx
	address  string // of nginx
	// sites is the configuration that lets the operator in.
	sites string
	// client is the operator's client certificate.
	client *certs.Certificate
}

// The sessions of an environment: one with a token that the operator mints, one with a token that
// another party supplies, and one that a person has consented to.
const (
	minted    = "minted"
	supplied  = "supplied"
	consented = "consented"
)

var sessions = []string{minted, supplied, consented}

// newEnv starts a Coder server and an nginx with the page's sample, changed by edits.
func newEnv(t *testing.T, edits ...edit) *edgeEnv {
	t.Helper()
	e := &edgeEnv{Env: testenv.New(t, kube.ForTest(t), nil), t: t, address: chooseAddress(t)}
	e.Coder = coderd.New(coderd.Options{
		DisableRateLimits: true, OAuth2Provider: true, DynamicRegistration: true,
	})
	var err error
	e.listener, err = e.Coder.Start(coderd.ListenOptions{Address: chooseAddress(t)})
	e.Must(err)
	t.Cleanup(func() { _ = e.listener.Close() })
	e.CreateUser(testenv.OperatorUser, coderd.RoleOwner)
	e.CreateUsers(testenv.MachineUser, testenv.PersonUser)
	e.startNginx(edits)
	e.WriteSecret(testenv.TokenSecret, map[string]string{"token": e.CreateToken(testenv.OperatorUser, "")})
	e.WriteSecret("mine", map[string]string{"token": e.CreateToken(testenv.PersonUser, "")})
	e.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": string(e.Servers.PEM())})
	return e
}

func (e *edgeEnv) startNginx(edits []edit) {
	e.t.Helper()
	folder, err := os.MkdirTemp("", "nginx-") // t.TempDir is removed while the workers still write
	e.Must(err)
	e.t.Cleanup(func() { _ = os.RemoveAll(folder) })
	e.sites = apply(e.t, apply(e.t, sampleOf(e.t, edgesPage),
		edit{"listen 443 ssl;", "listen " + e.address + " ssl;"},
		edit{"/etc/nginx/tls/", folder + "/"},
		edit{"http://coder.internal:7080", e.listener.URL()},
	), edits...)
	certificate := e.NewAuthorities()
	e.client = e.WriteClientCertificate(testenv.CertificateSecret, testenv.OperatorUser)
	e.nginx = &nginx{t: e.t, folder: folder}
	e.writeServerCertificate(certificate)
	e.nginx.writeFile("clients.crt", e.Clients.PEM())
	e.writeRevocations()
	e.nginx = startNginx(e.t, folder, e.sites)
}

func (e *edgeEnv) writeServerCertificate(c *certs.Certificate) {
	e.nginx.writeFile("server.crt", c.CertPEM)
	e.nginx.writeFile("server.key", c.KeyPEM)
}

// writeRevocations writes the list of the revoked client certificates.
func (e *edgeEnv) writeRevocations(revoked ...*certs.Certificate) {
	e.t.Helper()
	list, err := e.Clients.RevocationList(revoked...)
	e.Must(err)
	e.nginx.writeFile("clients.crl", list)
}

// createObjects creates a deployment that is verified each second, and its sessions, which become
// ready.
func (e *edgeEnv) createObjects(url string, changes ...testenv.DeploymentChange) {
	e.t.Helper()
	changes = append([]testenv.DeploymentChange{func(spec *v1alpha1.CoderDeploymentSpec) {
		value, long := "open", strings.Repeat("x", 600)
		spec.Headers = []v1alpha1.Header{{Name: "X-Edge", Value: &value}, {Name: "X-Long", Value: &long}}
		spec.Verify = v1alpha1.VerifyPolicy{Interval: "1s", QuietPeriod: "100ms", MaxDelay: "1s", Timeout: "5s"}
	}}, changes...)
	e.Create(
		e.NewDeployment(testenv.DeploymentName, url, changes...),
		e.NewMintedSession(minted, testenv.MachineUser), e.NewSuppliedSession(supplied, "mine"),
		e.NewSession(consented, v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}),
	)
	e.giveConsent()
	e.Eventually(e.isGood())
}

// giveConsent does what a person does with the URL that a session shows.
func (e *edgeEnv) giveConsent() {
	e.t.Helper()
	var shown string
	e.Eventually(func(ctx context.Context) error {
		s, err := e.GetSession(ctx, consented)
		if err != nil || s.Status.Authorization == nil {
			return errors.Join(err, errors.New("there is no URL to consent at"))
		}
		shown = s.Status.Authorization.URL
		return nil
	})
	location, err := e.Coder.ApproveOAuth(testenv.PersonUser, shown)
	e.Must(err)
	resp, err := http.Get(location)
	e.Must(err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		e.t.Fatalf("the callback answers %d", resp.StatusCode)
	}
}

// isGood looks whether the deployment is verified, and each session has a credential that the
// server accepts and was asked about.
func (e *edgeEnv) isGood() wait.Check {
	checks := []wait.Check{e.IsVerified(testenv.DeploymentName)}
	for _, name := range sessions {
		checks = append(checks, e.IsReady(name), e.SessionHasNo(name, v1alpha1.ConditionAuthenticated))
	}
	return wait.All(checks...)
}

// areUndecided looks whether the sessions are ready as before, and what the server thinks of their
// tokens is unknown for the reason.
func (e *edgeEnv) areUndecided(reason string) wait.Check {
	var checks []wait.Check
	for _, name := range sessions {
		checks = append(checks, e.IsReady(name), e.SessionIs(name, v1alpha1.ConditionAuthenticated,
			metav1.ConditionUnknown, reason, ""))
	}
	return wait.All(checks...)
}

// tokenFacts is everything that must not change because of what an edge answers.
type tokenFacts struct {
	Mints, Deletions, Expirations, Exchanges, Revocations int
	LiveTokens, Grants                                    int
	Secrets                                               map[string]string    // resource versions
	ReadySince                                            map[string]time.Time // of the sessions
}

func (e *edgeEnv) tokenFacts() tokenFacts {
	e.t.Helper()
	facts := tokenFacts{
		Mints: e.CountMints(), Deletions: e.Coder.Count(http.MethodDelete, ""),
		Expirations: e.Coder.Count(http.MethodPut, ""), Exchanges: e.Coder.Count(http.MethodPost, "/oauth2/tokens"),
		Revocations: e.Coder.Count(http.MethodPost, "/oauth2/revoke"),
		LiveTokens:  len(e.LiveTokens("")), Grants: len(e.Coder.OAuthGrants(testenv.PersonUser, "")),
		Secrets: map[string]string{}, ReadySince: map[string]time.Time{},
	}
	for _, name := range sessions {
		facts.Secrets[name] = e.CurrentSecret(name).ResourceVersion
		ready := meta.FindStatusCondition(e.CurrentSession(name).Status.Conditions, v1alpha1.ConditionReady)
		facts.ReadySince[name] = ready.LastTransitionTime.Time
	}
	return facts
}

// expectUnchanged compares the facts with earlier ones.
func (e *edgeEnv) expectUnchanged(before tokenFacts, when string) {
	e.t.Helper()
	if diff := cmp.Diff(before, e.tokenFacts()); diff != "" {
		e.t.Errorf("%s (-before +after):\n%s", when, diff)
	}
}

// verifyAgain has the deployment verified once more, and waits until that was reported.
func (e *edgeEnv) verifyAgain(request string) {
	e.t.Helper()
	e.EditDeployment(testenv.DeploymentName, func(d *v1alpha1.CoderDeployment) {
		metav1.SetMetaDataAnnotation(&d.ObjectMeta, v1alpha1.AnnotationVerifyRequestedAt, request)
	})
	e.Eventually(func(ctx context.Context) error {
		d, err := e.GetDeployment(ctx, testenv.DeploymentName)
		if err == nil && d.Status.LastHandledVerifyAt != request {
			err = fmt.Errorf("request %s is not handled, but %s", request, d.Status.LastHandledVerifyAt)
		}
		return err
	})
}

// expiredCertificate is a client certificate that has ended.
func (e *edgeEnv) expiredCertificate() *certs.Certificate {
	e.t.Helper()
	return e.Clients.IssueForTest(e.t, certs.Request{
		Usage: certs.Client, CommonName: testenv.OperatorUser,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
	})
}
