// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// bots is how many users the sessions are minted for.
const bots = 20

// headerName is the header that the Coder server's edge demands.
const headerName = "X-Edge-Id"

// world is a control plane, a Coder server behind an edge that demands a client
// certificate and a header, and an operator.
type world struct {
	b         *testing.B
	namespace string
	cluster   *kube.Cluster
	client    client.WithWatch // the user's, whose calls do not count
	user      *kube.User       // the operator's
	calls     *apiCalls

	coder            *coderd.Server
	listener         *coderd.Listener
	servers, clients *certs.Authority

	operator *operator
}

// newWorld starts everything but the operator. The edge takes who calls without a
// token from the client certificate. Close it.
func newWorld(b *testing.B) *world {
	b.Helper()
	w := &world{b: b}
	w.startCluster()
	w.startCoder()
	w.put(w.secret("token", map[string]string{"token": w.ownToken()}))
	w.put(w.secret("mtls", w.pair(w.clients)))
	w.put(w.secret("edge-headers", map[string]string{"id": "right"}))
	w.put(w.ca(w.servers))
	return w
}

func (w *world) startCluster() {
	w.b.Helper()
	logs, err := os.MkdirTemp(folder, "audit-")
	w.must(err)
	calls, flags := newAPICalls(w.b, logs)
	w.calls = calls
	w.cluster, err = kube.Start(w.b.Context(), kube.Options{APIServerFlags: flags})
	w.must(err)
	w.client, err = client.NewWithWatch(w.cluster.Config, client.Options{Scheme: w.cluster.Scheme})
	w.must(err)
	w.user, err = w.cluster.User(operatorUser, "system:masters")
	w.must(err)
	w.namespace = w.cluster.Namespace(w.b, nil)
}

func (w *world) startCoder() {
	w.b.Helper()
	var err error
	w.servers, err = certs.NewAuthority("servers", clock.RealClock{})
	w.must(err)
	w.clients, err = certs.NewAuthority("clients", clock.RealClock{})
	w.must(err)
	certificate, err := w.servers.Issue(certs.Request{})
	w.must(err)
	w.coder, w.listener = w.newCoder(coderd.Edge{
		Certificate: &certificate.TLS, ClientCAs: w.clients.Pool(), IdentifyByCertificate: true,
		RequiredHeaders: map[string]string{headerName: "right"},
	})
}

// newCoder starts a Coder server that knows the operator and all bots.
func (w *world) newCoder(edge coderd.Edge) (*coderd.Server, *coderd.Listener) {
	w.b.Helper()
	server := coderd.New(coderd.Options{DisableRateLimits: true, RequestLogSize: 1 << 16})
	listener, err := server.Start(coderd.ListenOptions{Edge: edge})
	w.must(err)
	users := map[string][]string{"operator": {coderd.RoleOwner}}
	for i := range bots {
		users[bot(i)] = nil
	}
	for name, roles := range users {
		_, err := server.CreateUser(coderd.UserOptions{Username: name, Roles: roles})
		w.must(err)
	}
	return server, listener
}

func bot(i int) string { return fmt.Sprintf("bot-%02d", i%bots) }

// close stops everything, the last started first.
func (w *world) close() {
	if w.operator != nil {
		w.operator.stop()
	}
	_ = w.listener.Close()
	if err := w.cluster.Stop(); err != nil {
		w.b.Error(err)
	}
}

func (w *world) must(err error) {
	w.b.Helper()
	if err != nil {
		w.b.Fatal(err)
	}
}

// startOperator starts the operator and returns how long it took to be ready.
func (w *world) startOperator() time.Duration {
	w.b.Helper()
	started := time.Now()
	w.operator = startOperator(w.b, w.user.Kubeconfig)
	return time.Since(started)
}

func (w *world) ownToken() string { return w.ownTokenOf(w.coder) }

// ownTokenOf is a token of the operator on a server.
func (w *world) ownTokenOf(server *coderd.Server) string {
	w.b.Helper()
	value, _, err := server.CreateToken(coderd.TokenOptions{User: "operator", Lifetime: 100 * time.Hour})
	w.must(err)
	return value
}

// pair is a client certificate of the operator's user, as a Secret has it.
func (w *world) pair(authority *certs.Authority) map[string]string {
	w.b.Helper()
	certificate, err := authority.Issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
	w.must(err)
	return map[string]string{"tls.crt": string(certificate.CertPEM), "tls.key": string(certificate.KeyPEM)}
}

func (w *world) ca(authority *certs.Authority) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ca"},
		Data:       map[string]string{"ca.crt": string(authority.PEM())},
	}
}

func (w *world) secret(name string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, StringData: data}
}

// put creates an object, or replaces the one of its name whatever its version.
func (w *world) put(object client.Object) {
	w.b.Helper()
	err := w.client.Update(w.b.Context(), object)
	if client.IgnoreNotFound(err) == nil && err != nil {
		err = w.client.Create(w.b.Context(), object)
	}
	w.must(err)
}

// deploy makes the deployment "prod", which refers to all that newWorld wrote, and
// waits until it is verified.
func (w *world) deploy(verify v1alpha1.VerifyPolicy) {
	w.b.Helper()
	w.put(w.deployment("prod", w.listener.URL(), "token", verify))
	w.verified("prod")
}

// deployment refers to all that newWorld wrote, except for the operator's token.
func (w *world) deployment(name, url string, token v1alpha1.ObjectName, verify v1alpha1.VerifyPolicy) *v1alpha1.CoderDeployment {
	return &v1alpha1.CoderDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1alpha1.CoderDeploymentSpec{
			URL: url,
			TLS: &v1alpha1.TLSConfig{
				ClientCertificateSecretName: "mtls",
				CABundle:                    &v1alpha1.CABundleRef{Kind: "ConfigMap", Name: "ca"},
			},
			Headers: []v1alpha1.Header{
				{Name: headerName, ValueFrom: &v1alpha1.HeaderSource{SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "edge-headers", Key: "id"}}},
			},
			Token:     &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: token}},
			Verify:    verify,
			RateLimit: v1alpha1.RateLimit{RequestsPerMinute: 1000000},
		},
	}
}

// verified waits until the server has accepted a deployment's settings.
func (w *world) verified(name string) {
	w.b.Helper()
	await(w.b, "deployment "+name+" is verified", 20*time.Millisecond, func() bool {
		return w.deploymentIs(name, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	})
}

func (w *world) deploymentIs(name string, ready metav1.ConditionStatus, reason string) bool {
	w.b.Helper()
	d := &v1alpha1.CoderDeployment{}
	w.must(w.client.Get(w.b.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, d))
	return readyBecause(d.Status.Conditions, ready, reason)
}

func (w *world) session(name string, auth v1alpha1.Auth) *v1alpha1.CoderSession {
	return &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       v1alpha1.CoderSessionSpec{DeploymentRef: v1alpha1.DeploymentRef{Name: "prod"}, Auth: auth},
	}
}

// coderCalls are the requests that the Coder server got since the start or the
// last ResetLog.
func (w *world) coderCalls() map[string]int {
	counts := map[string]int{}
	for _, request := range w.coder.Requests() {
		counts[request.Method+" "+request.Route]++
	}
	return counts
}

// settle waits until the operator has left both servers alone for a while. Its
// events are written after what they tell about.
func (w *world) settle() {
	w.b.Helper()
	const quiet = 2 * time.Second
	before, at := map[string]int{}, time.Now()
	await(w.b, "the operator has nothing left to do", 200*time.Millisecond, func() bool {
		now := where(w.calls.now(w.b), notOfLease)
		maps.Copy(now, w.coderCalls())
		if !maps.Equal(before, now) {
			before, at = now, time.Now()
		}
		return time.Since(at) > quiet
	})
}
