// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// front is another address of the simulated server: it answers with the same deployment id. It records
// which requests carry a credential that it looks for.
type front struct {
	*httptest.Server
	mu     sync.Mutex
	hidden []string
	got    []string
}

func newFront(w *stepped.World) *front {
	w.T.Helper()
	f := &front{hidden: credentialsOf(w)}
	target, err := url.Parse(deploymentOf(w).Spec.URL)
	w.Must(err)
	f.Server = httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		body, _ := io.ReadAll(p.In.Body)
		p.Out.Body = io.NopCloser(bytes.NewReader(body))
		var all bytes.Buffer
		_ = p.In.Header.Write(&all)
		text := p.In.URL.String() + all.String() + string(body)
		f.mu.Lock()
		defer f.mu.Unlock()
		if slices.ContainsFunc(f.hidden, func(each string) bool { return strings.Contains(text, each) }) {
			f.got = append(f.got, p.In.Method+" "+p.In.URL.Path)
		}
	}})
	w.T.Cleanup(f.Close)
	return f
}

// received are the requests that had one of the credentials.
func (f *front) received() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

// credentialsOf are the values of the session's document.
func credentialsOf(w *stepped.World) (all []string) {
	w.T.Helper()
	state, _, err := grant.NewStore(w.API, w.API).Read(w.T.Context(), w.Session("ci"))
	w.Must(err)
	secrets := []redact.Secret{state.Client.ClientSecret, state.Client.ManagementToken}
	if state.Grant != nil {
		secrets = append(secrets, state.Grant.AccessToken, state.Grant.RefreshToken)
	}
	if state.Attempt != nil {
		secrets = append(secrets, state.Attempt.Verifier)
	}
	for _, each := range secrets {
		if each.Reveal() != "" {
			all = append(all, each.Reveal())
		}
	}
	return all
}

func deploymentOf(w *stepped.World) *v1alpha1.CoderDeployment {
	w.T.Helper()
	d := &v1alpha1.CoderDeployment{}
	w.Must(w.API.Get(w.T.Context(), w.Key(testenv.DeploymentName), d))
	return d
}

// recreateSession deletes the session as kubectl delete --cascade=orphan does for one without finalizers,
// and creates it again for a deployment.
func recreateSession(w *stepped.World, deployment string) {
	w.T.Helper()
	ci := w.Session("ci")
	ci.Finalizers = nil
	w.Must(w.API.Update(w.T.Context(), ci))
	w.Must(w.API.Delete(w.T.Context(), ci))
	for _, name := range []string{"ci", "ci-oauth"} {
		secret := &corev1.Secret{}
		w.Must(w.API.Get(w.T.Context(), w.Key(name), secret))
		secret.OwnerReferences = nil
		w.Must(w.API.Update(w.T.Context(), secret))
	}
	_, err := w.Controllers.Sessions.Reconcile(w.T.Context(), ctrl.Request{NamespacedName: w.Key("ci")})
	w.Must(err)
	again := w.NewSession("ci", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}})
	again.Spec.DeploymentRef.Name = v1alpha1.ObjectName(deployment)
	w.Put(again)
}

// recreateDeployment deletes the deployment, and creates it again with another URL.
func recreateDeployment(w *stepped.World, address string) {
	w.T.Helper()
	d := deploymentOf(w)
	w.Must(w.API.Delete(w.T.Context(), d))
	d = deploymentOf(w)
	d.Finalizers = nil
	w.Must(w.API.Update(w.T.Context(), d))
	w.Put(w.NewDeployment(testenv.DeploymentName, address, plain))
}

// plain is a deployment without TLS and without a token.
func plain(spec *v1alpha1.CoderDeploymentSpec) { spec.TLS, spec.Token = nil, nil }

// passAll lets time pass until a refresh is due, with a renewal that is requested.
func passAll(w *stepped.World, deployment string) {
	w.T.Helper()
	pass := func() {
		_, err := w.Controllers.Deployments.Reconcile(w.T.Context(), ctrl.Request{NamespacedName: w.Key(deployment)})
		w.Must(err)
		w.Pass("ci")
		w.Clock.Step(20 * time.Second)
	}
	for range 8 {
		pass()
	}
	w.EditSession("ci", func(c *v1alpha1.CoderSession) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationRenewRequestedAt, "now")
	})
	for range 8 {
		pass()
	}
}

// wantConsentAsked holds that the session asks for another consent and says for which deployment it had one.
func wantConsentAsked(t *testing.T, w *stepped.World) {
	t.Helper()
	status := w.Session("ci").Status
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if status.Authorization == nil || ready.Reason != v1alpha1.ReasonReauthenticationRequired ||
		!strings.Contains(ready.Message, "it is for CoderDeployment "+w.Key(testenv.DeploymentName).String()) {
		t.Errorf("a URL is shown: %t; Ready is %+v", status.Authorization != nil, ready)
	}
}

// wantNotPublishedFor holds that workloads do not find the token beside the URL of the other server.
func wantNotPublishedFor(t *testing.T, w *stepped.World, f *front) {
	t.Helper()
	secret := &corev1.Secret{}
	w.Must(w.API.Get(t.Context(), w.Key("ci"), secret))
	if string(secret.Data["url"]) == f.URL && len(secret.Data["session"]) > 0 {
		t.Error("the published token has the URL of the other server")
	}
}

// B73: the Secrets of a session that was deleted without them are not those of the next session of its
// name, if that one is for another deployment, whose server says the same deployment id.
func TestTheGrantOfAFormerSession(t *testing.T) {
	t.Parallel()
	for name, consented := range map[string]bool{"a grant": true, "a pending attempt": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAsking(t, coderd.ProfileNew)
			if consented {
				consent(w, w.Session("ci").Status.Authorization.URL)
			} else { // recreateSession expects it
				w.Put(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "ci"}})
			}
			f := newFront(w)
			w.Put(w.NewDeployment("evil", f.URL, plain))
			recreateSession(w, "evil")
			passAll(w, "evil")
			if got := f.received(); len(got) > 0 {
				t.Errorf("the other server got the credentials with %q", got)
			}
			if consented {
				wantConsentAsked(t, w)
				wantNotPublishedFor(t, w, f)
			}
		})
	}
}

// B73: a deployment that was created again with another URL is not the one that the grant is for.
func TestTheGrantOfARecreatedDeployment(t *testing.T) {
	t.Parallel()
	w := newAsking(t, coderd.ProfileNew)
	consent(w, w.Session("ci").Status.Authorization.URL)
	f := newFront(w)
	recreateDeployment(w, f.URL)
	passAll(w, testenv.DeploymentName)
	if got := f.received(); len(got) > 0 {
		t.Errorf("the other server got the credentials with %q", got)
	}
	wantConsentAsked(t, w)
	wantNotPublishedFor(t, w, f)
}

// B73: nor does the end of the session send anything to that server.
func TestTheEndOfASessionWhoseDeploymentWasRecreated(t *testing.T) {
	t.Parallel()
	w := newAsking(t, coderd.ProfileNew)
	consent(w, w.Session("ci").Status.Authorization.URL)
	f := newFront(w)
	recreateDeployment(w, f.URL)
	w.PassDeployment()
	w.Must(w.API.Delete(t.Context(), w.Session("ci")))
	for range 4 {
		w.PassDeployment()
		w.Pass("ci")
		w.Clock.Step(20 * time.Second)
	}
	if got := f.received(); len(got) > 0 {
		t.Errorf("the other server got the credentials with %q", got)
	}
	if err := w.API.Get(t.Context(), w.Key("ci-oauth"), &corev1.Secret{}); err == nil {
		t.Error("the document is still there")
	}
}

// B71, B73: an operator that ends a grant and its registration asks the server once which one it is, if that is not
// known because it was away since the operator started.
func TestTheServerIsAskedOnceWhichOneItIs(t *testing.T) {
	t.Parallel()
	for name, verified := range map[string]bool{"verified": true, "not verified": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAsking(t, coderd.ProfileNew)
			consent(w, w.Session("ci").Status.Authorization.URL)
			w.Settle("ci")
			w.Restart()
			want := 0
			if !verified {
				w.Coder.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: http.StatusServiceUnavailable})
				want = 1
			}
			w.PassDeployment()
			w.Coder.ClearFaults()
			w.Must(w.API.Delete(t.Context(), w.Session("ci")))
			w.Coder.ResetLog()
			w.Pass("ci")
			if got := w.Coder.Count(http.MethodGet, "/api/v2/buildinfo"); got != want {
				t.Errorf("the server was asked %d times, want %d", got, want)
			}
			if grants := w.Coder.OAuthGrants("ada", ""); len(grants) > 0 {
				t.Errorf("the grants %+v are left", grants)
			}
			if err := w.API.Get(t.Context(), w.Key("ci-oauth"), &corev1.Secret{}); err == nil {
				t.Error("the document is still there")
			}
		})
	}
}

// B73, B112: the same deployment may move, and what was restored goes on at the same URL.
func TestAGrantThatStaysUsable(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*stepped.World){
		"the URL of the deployment changes": func(w *stepped.World) {
			f := newFront(w)
			d := deploymentOf(w)
			d.Spec.URL, d.Spec.TLS, d.Generation = f.URL, nil, d.Generation+1
			w.Must(w.API.Update(w.T.Context(), d))
		},
		"all is restored, with other UIDs": func(w *stepped.World) {
			d := deploymentOf(w)
			recreateSession(w, testenv.DeploymentName)
			recreateDeployment(w, d.Spec.URL)
			again := deploymentOf(w)
			again.Spec = d.Spec
			w.Must(w.API.Update(w.T.Context(), again))
		},
		"the document is of an older operator": func(w *stepped.World) {
			_, err := grant.NewStore(w.API, w.API).Change(w.T.Context(), w.Session("ci"), func(s *grant.State) error {
				s.Client.Destination = grant.Destination{}
				return nil
			})
			w.Must(err)
			w.Restart()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAsking(t, coderd.ProfileNew)
			consent(w, w.Session("ci").Status.Authorization.URL)
			change(w)
			w.Clock.Step(10 * time.Minute)
			passAll(w, testenv.DeploymentName)
			if !isReady(w) || len(w.Coder.OAuthGrants("ada", "")) != 1 {
				t.Errorf("the conditions are %+v", w.Session("ci").Status.Conditions)
			}
			state, _, err := grant.NewStore(w.API, w.API).Read(t.Context(), w.Session("ci"))
			w.Must(err)
			if d := deploymentOf(w); state.Client.Destination.UID != d.UID ||
				!strings.HasPrefix(state.Client.Destination.Origin, d.Spec.URL) {
				t.Errorf("recorded is %s, the deployment has %s", state.Client.Destination, d.Spec.URL)
			}
		})
	}
}
