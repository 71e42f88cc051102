// SPDX-License-Identifier: Apache-2.0

package mint_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// hostileServer is a Coder server that shows one of its tokens under the id of another server's.
type hostileServer struct {
	*coderd.Server
	url, token string
	mu         sync.Mutex
	// own is shown as foreign; empty: all are shown as they are.
	own, foreign string
	// received are the credentials that were sent to it.
	received []string
}

func newHostileServer(t *testing.T, w *stepped.World) *hostileServer {
	t.Helper()
	s := &hostileServer{Server: coderd.New(coderd.Options{DisableRateLimits: true, Clock: w.Clock})}
	listener, err := s.Start(coderd.ListenOptions{})
	w.Must(err)
	t.Cleanup(func() { _ = listener.Close() })
	for _, user := range []coderd.UserOptions{
		{Username: testenv.OperatorUser, Roles: []string{coderd.RoleOwner}}, {Username: testenv.MachineUser},
	} {
		_, err := s.CreateUser(user)
		w.Must(err)
	}
	s.token, _, err = s.CreateToken(coderd.TokenOptions{User: testenv.OperatorUser})
	w.Must(err)
	target, err := url.Parse(listener.URL())
	w.Must(err)
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.received = append(s.received, p.In.Header.Get("Coder-Session-Token"))
			p.SetURL(target)
			p.Out.Header.Del("Accept-Encoding")
			if s.own != "" {
				p.Out.URL.Path = strings.ReplaceAll(p.Out.URL.Path, s.foreign, s.own)
			}
		},
		ModifyResponse: s.showAsForeign,
	})
	t.Cleanup(front.Close)
	s.url = front.URL
	return s
}

// showAsForeign replaces the id of the server's own token in an answer.
func (s *hostileServer) showAsForeign(r *http.Response) error {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own != "" {
		body = bytes.ReplaceAll(body, []byte(s.own), []byte(s.foreign))
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return err
}

// B113: a tenant who may write Secrets, and has a server that shows what it likes, gets no token of another
// session: it is neither sent to that server nor published with its URL.
func TestATokenOfAnotherSessionGoesToNoOtherServer(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(annotations map[string]string){
		"the annotations stay": func(map[string]string) {},
		"no annotations":       func(annotations map[string]string) { clear(annotations) },
		"another digest": func(annotations map[string]string) {
			annotations[v1alpha1.AnnotationTokenFingerprint] = "hmac-sha256:0123456789abcdef0123456789abcdef"
		},
	} {
		for restarted, restart := range map[string]func(*stepped.World){
			"": func(*stepped.World) {}, ", after a restart": (*stepped.World).Restart,
		} {
			t.Run(name+restarted, func(t *testing.T) {
				t.Parallel()
				w := stepped.New(t)
				hostile := newHostileServer(t, w)
				w.Put(w.NewMintedSession("victim", testenv.MachineUser))
				w.Settle("victim")
				w.Put(&corev1.Secret{ObjectMeta: w.Meta("own"), Data: map[string][]byte{"token": []byte(hostile.token)}})
				w.Put(w.NewDeployment("hostile", hostile.url, func(spec *v1alpha1.CoderDeploymentSpec) {
					spec.TLS, spec.Token.SecretRef.Name = nil, "own"
				}))
				thief := w.NewMintedSession("thief", testenv.MachineUser)
				thief.Spec.DeploymentRef.Name = "hostile"
				w.Put(thief)
				passThief(w)
				hostile.mu.Lock()
				hostile.own, hostile.foreign = w.Session("thief").Status.Token.ID, w.Session("victim").Status.Token.ID
				hostile.mu.Unlock()

				secret := takeOverSecret(w, edit)
				value, url := string(secret.Data["session"]), string(secret.Data["url"])
				restart(w)
				for range 5 {
					passThief(w)
					w.Must(w.API.Get(t.Context(), w.Key("victim"), secret))
					if now := string(secret.Data["session"]); now == value && string(secret.Data["url"]) != url {
						t.Fatalf("the token is published with the URL %s", secret.Data["url"])
					}
					w.Clock.Step(6 * time.Minute)
				}
				hostile.mu.Lock()
				defer hostile.mu.Unlock()
				for _, received := range hostile.received {
					if received == value {
						t.Fatal("the token was sent to the other server")
					}
				}
				if len(hostile.received) == 0 || value == "" {
					t.Error("nothing was tried")
				}
			})
		}
	}
}

// takeOverSecret makes the Secret of session victim that of session thief.
func takeOverSecret(w *stepped.World, edit func(map[string]string)) *corev1.Secret {
	w.T.Helper()
	id := w.Session("victim").Status.Token.ID
	w.EditSession("thief", func(s *v1alpha1.CoderSession) {
		s.Status.Token.ID = id // its server can name its tokens so
		s.Spec.Secret = &v1alpha1.GeneratedSecret{Name: "victim"}
	})
	secret, yes := &corev1.Secret{}, true
	w.Must(w.API.Get(w.T.Context(), w.Key("victim"), secret))
	secret.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.KindCoderSession, Name: "thief",
		UID: w.Session("thief").UID, Controller: &yes,
	}}
	edit(secret.Annotations)
	w.Must(w.API.Update(w.T.Context(), secret))
	return secret
}

// passThief passes session thief and its deployment until they have settled.
func passThief(w *stepped.World) {
	w.T.Helper()
	for range 6 {
		_, err := w.Controllers.Deployments.Reconcile(w.T.Context(), ctrl.Request{NamespacedName: w.Key("hostile")})
		w.Must(err)
		w.Pass("thief")
		w.Clock.Step(2 * time.Second)
	}
}
