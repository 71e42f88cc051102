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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// bots is how many users the sessions are minted for.
const bots = 20

// headerName is the header that the Coder server's edge demands.
const headerName = "X-Edge-Id"

// scaleEnv is a control plane, a Coder server behind an edge that demands a client certificate and
// a header, and an operator.
type scaleEnv struct {
	*testenv.Env
	watcher client.WithWatch // the user's, whose calls do not count
	user    *kube.User       // the operator's
	calls   *apiCalls

	listener *coderd.Listener
	operator *operator
}

// newEnv starts everything but the operator. The edge takes who calls without a token from the
// client certificate. Close it.
func newEnv(b *testing.B) *scaleEnv {
	b.Helper()
	w := startCluster(b)
	w.installFinalizerPolicy()
	w.startCoder()
	w.putObject(w.newSecret(testenv.TokenSecret, map[string]string{"token": w.ownToken()}))
	w.putObject(w.newSecret(testenv.CertificateSecret, w.issueClientPair(w.Clients)))
	w.putObject(w.newSecret("edge-headers", map[string]string{"id": "right"}))
	w.putObject(w.newCAConfigMap(w.Servers))
	return w
}

// startCluster starts a control plane that logs the operator's calls.
func startCluster(b *testing.B) *scaleEnv {
	b.Helper()
	logs, err := os.MkdirTemp(folder, "audit-")
	requireNoError(b, err)
	calls, flags := newAPICalls(b, logs)
	cluster, err := kube.Start(b.Context(), kube.Options{APIServerFlags: flags})
	requireNoError(b, err)
	w := &scaleEnv{Env: testenv.New(b, cluster, nil), calls: calls}
	w.Patience = patience
	w.watcher, err = client.NewWithWatch(cluster.Config, client.Options{Scheme: cluster.Scheme})
	w.Must(err)
	w.user, err = cluster.User(operatorUser, "system:masters")
	w.Must(err)
	return w
}

func requireNoError(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (w *scaleEnv) startCoder() {
	w.T.Helper()
	certificate := w.NewAuthorities()
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
	users := map[string][]string{testenv.OperatorUser: {coderd.RoleOwner}}
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

// startOperator starts the operator and returns how long it took to be ready.
func (w *scaleEnv) startOperator(flags ...string) time.Duration {
	w.T.Helper()
	started := time.Now()
	w.operator = startOperator(w.T, w.user.Kubeconfig, flags...)
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
	return authority.IssueForTest(w.T, certs.Request{Usage: certs.Client, CommonName: testenv.OperatorUser}).Data()
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
	err := w.watcher.Update(w.T.Context(), object)
	if client.IgnoreNotFound(err) == nil && err != nil {
		err = w.watcher.Create(w.T.Context(), object)
	}
	w.Must(err)
}

// createDeployment makes the deployment "prod", which refers to all that newEnv wrote, and
// waits until it is verified.
func (w *scaleEnv) createDeployment(verify v1alpha1.VerifyPolicy) {
	w.T.Helper()
	w.putObject(w.newDeployment("prod", w.listener.URL(), "token", verify))
	w.awaitVerified("prod")
}

// newDeployment refers to all that newEnv wrote, except for the operator's token.
func (w *scaleEnv) newDeployment(
	name, url string, token v1alpha1.ObjectName, verify v1alpha1.VerifyPolicy,
) *v1alpha1.CoderDeployment {
	id := &v1alpha1.HeaderSource{SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "edge-headers", Key: "id"}}
	return w.NewDeployment(name, url, func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.Headers = []v1alpha1.Header{{Name: headerName, ValueFrom: id}}
		spec.Token.SecretRef.Name, spec.Verify = token, verify
	})
}

// awaitVerified waits until the server has accepted a deployment's settings.
func (w *scaleEnv) awaitVerified(name string) {
	w.T.Helper()
	w.Eventually(w.IsVerified(name))
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
		now["of Coder"] = w.Coder.Count("", "")
		if !maps.Equal(before, now) {
			before, at = now, time.Now()
		}
		return time.Since(at) > quiet
	})
}
