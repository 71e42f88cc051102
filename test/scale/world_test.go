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

// scaleEnv is a control plane, a Coder server behind an edge that demands a client
// certificate and a header, and an operator.
type scaleEnv struct {
	T         *testing.B
	Namespace string
	Cluster   *kube.Cluster
	client    client.WithWatch // the user's, whose calls do not count
	user      *kube.User       // the operator's
	calls     *apiCalls

	Coder            *coderd.Server
	listener         *coderd.Listener
	Servers, Clients *certs.Authority

	operator *operator
}

// newEnv starts everything but the operator. The edge takes who calls without a
// token from the client certificate. Close it.
func newEnv(b *testing.B) *scaleEnv {
	b.Helper()
	w := &scaleEnv{T: b}
	w.startCluster()
	w.startCoder()
	w.putObject(w.newSecret("token", map[string]string{"token": w.ownToken()}))
	w.putObject(w.newSecret("mtls", w.issueClientPair(w.Clients)))
	w.putObject(w.newSecret("edge-headers", map[string]string{"id": "right"}))
	w.putObject(w.newCAConfigMap(w.Servers))
	return w
}

func (w *scaleEnv) startCluster() {
	w.T.Helper()
	logs, err := os.MkdirTemp(folder, "audit-")
	w.Must(err)
	calls, flags := newAPICalls(w.T, logs)
	w.calls = calls
	w.Cluster, err = kube.Start(w.T.Context(), kube.Options{APIServerFlags: flags})
	w.Must(err)
	w.client, err = client.NewWithWatch(w.Cluster.Config, client.Options{Scheme: w.Cluster.Scheme})
	w.Must(err)
	w.user, err = w.Cluster.User(operatorUser, "system:masters")
	w.Must(err)
	w.Namespace = w.Cluster.Namespace(w.T, nil)
}

func (w *scaleEnv) startCoder() {
	w.T.Helper()
	var err error
	w.Servers, err = certs.NewAuthority("servers", clock.RealClock{})
	w.Must(err)
	w.Clients, err = certs.NewAuthority("clients", clock.RealClock{})
	w.Must(err)
	certificate, err := w.Servers.Issue(certs.Request{})
	w.Must(err)
	w.Coder, w.listener = w.newCoder(coderd.Edge{
		Certificate: &certificate.TLS, ClientCAs: w.Clients.Pool(), IdentifyByCertificate: true,
		RequiredHeaders: map[string]string{headerName: "right"},
	})
}

// newCoder starts a Coder server that knows the operator and all bots.
func (w *scaleEnv) newCoder(edge coderd.Edge) (*coderd.Server, *coderd.Listener) {
	w.T.Helper()
	server := coderd.New(coderd.Options{DisableRateLimits: true, RequestLogSize: 1 << 16})
	listener, err := server.Start(coderd.ListenOptions{Edge: edge})
	w.Must(err)
	users := map[string][]string{"operator": {coderd.RoleOwner}}
	for i := range bots {
		users[bot(i)] = nil
	}
	for name, roles := range users {
		_, err := server.CreateUser(coderd.UserOptions{Username: name, Roles: roles})
		w.Must(err)
	}
	return server, listener
}

func bot(i int) string { return fmt.Sprintf("bot-%02d", i%bots) }

// closeAll stops everything, the last started first.
func (w *scaleEnv) closeAll() {
	if w.operator != nil {
		w.operator.stop()
	}
	_ = w.listener.Close()
	if err := w.Cluster.Stop(); err != nil {
		w.T.Error(err)
	}
}

func (w *scaleEnv) Must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// startOperator starts the operator and returns how long it took to be ready.
func (w *scaleEnv) startOperator() time.Duration {
	w.T.Helper()
	started := time.Now()
	w.operator = startOperator(w.T, w.user.Kubeconfig)
	return time.Since(started)
}

func (w *scaleEnv) ownToken() string { return w.ownTokenOf(w.Coder) }

// ownTokenOf is a token of the operator on a server.
func (w *scaleEnv) ownTokenOf(server *coderd.Server) string {
	w.T.Helper()
	value, _, err := server.CreateToken(coderd.TokenOptions{User: "operator", Lifetime: 100 * time.Hour})
	w.Must(err)
	return value
}

// issueClientPair is a client certificate of the operator's user, as a Secret has it.
func (w *scaleEnv) issueClientPair(authority *certs.Authority) map[string]string {
	w.T.Helper()
	certificate, err := authority.Issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
	w.Must(err)
	return map[string]string{"tls.crt": string(certificate.CertPEM), "tls.key": string(certificate.KeyPEM)}
}

func (w *scaleEnv) newCAConfigMap(authority *certs.Authority) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "ca"},
		Data:       map[string]string{"ca.crt": string(authority.PEM())},
	}
}

func (w *scaleEnv) newSecret(name string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}, StringData: data}
}

// putObject creates an object, or replaces the one of its name whatever its version.
func (w *scaleEnv) putObject(object client.Object) {
	w.T.Helper()
	err := w.client.Update(w.T.Context(), object)
	if client.IgnoreNotFound(err) == nil && err != nil {
		err = w.client.Create(w.T.Context(), object)
	}
	w.Must(err)
}

// createDeployment makes the deployment "prod", which refers to all that newWorld wrote, and
// waits until it is verified.
func (w *scaleEnv) createDeployment(verify v1alpha1.VerifyPolicy) {
	w.T.Helper()
	w.putObject(w.newDeployment("prod", w.listener.URL(), "token", verify))
	w.awaitVerified("prod")
}

// newDeployment refers to all that newWorld wrote, except for the operator's token.
func (w *scaleEnv) newDeployment(name, url string, token v1alpha1.ObjectName, verify v1alpha1.VerifyPolicy) *v1alpha1.CoderDeployment {
	return &v1alpha1.CoderDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name},
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

// awaitVerified waits until the server has accepted a deployment's settings.
func (w *scaleEnv) awaitVerified(name string) {
	w.T.Helper()
	waitFor(w.T, "deployment "+name+" is verified", 20*time.Millisecond, func() bool {
		return w.deploymentIs(name, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	})
}

func (w *scaleEnv) deploymentIs(name string, ready metav1.ConditionStatus, reason string) bool {
	w.T.Helper()
	d := &v1alpha1.CoderDeployment{}
	w.Must(w.client.Get(w.T.Context(), client.ObjectKey{Namespace: w.Namespace, Name: name}, d))
	return readyBecause(d.Status.Conditions, ready, reason)
}

func (w *scaleEnv) NewSession(name string, auth v1alpha1.Auth) *v1alpha1.CoderSession {
	return &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name},
		Spec:       v1alpha1.CoderSessionSpec{DeploymentRef: v1alpha1.DeploymentRef{Name: "prod"}, Auth: auth},
	}
}

// coderCalls are the requests that the Coder server got since the start or the
// last ResetLog.
func (w *scaleEnv) coderCalls() map[string]int {
	counts := map[string]int{}
	for _, request := range w.Coder.Requests() {
		counts[request.Method+" "+request.Route]++
	}
	return counts
}

// awaitSettled waits until the operator has left both servers alone for a while. Its
// events are written after what they tell about.
func (w *scaleEnv) awaitSettled() {
	w.T.Helper()
	const quiet = 2 * time.Second
	before, at := map[string]int{}, time.Now()
	waitFor(w.T, "the operator has nothing left to do", 200*time.Millisecond, func() bool {
		now := filterCalls(w.calls.countCalls(w.T), notOfLease)
		maps.Copy(now, w.coderCalls())
		if !maps.Equal(before, now) {
			before, at = now, time.Now()
		}
		return time.Since(at) > quiet
	})
}
