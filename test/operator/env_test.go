// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// operatorEnv is a test's own namespace, Coder server and operator.
type operatorEnv struct {
	*testenv.Env
	listener *coderd.Listener
	clock    controllers.Clock // of the operator
	// sentinels are values that may stand nowhere but in Secrets.
	sentinels []string

	operator *inprocess.Operator
	calls    *apiCalls // of the operator
	// fingerprintKey of operators that are started; empty: the same one.
	fingerprintKey string
	// servesPods of operators that are started.
	servesPods bool
	// revocationTimeout of operators that are started; zero: the default of test/inprocess.
	revocationTimeout time.Duration
}

// setting changes the environment before its server starts.
type setting func(*envOptions)

type envOptions struct {
	server coderd.Options
	edge   coderd.Edge
	clock  controllers.Clock
	mTLS   bool
	labels map[string]string
}

// withMTLS makes the server demand client certificates.
func withMTLS(o *envOptions) { o.mTLS = true }

// certificateIdentifies makes an edge take the caller from its certificate.
func certificateIdentifies(o *envOptions) {
	o.mTLS = true
	o.edge.IdentifyByCertificate = true
}

// withProfile chooses the generation of the server.
func withProfile(p coderd.Profile) setting { return func(o *envOptions) { o.server.Profile = p } }

// newEnv starts a Coder server with the users operator (owner), ci-bot and ada, and writes the
// objects that a deployment refers to: mtls, ca, edge-headers, token.
func newEnv(t *testing.T, settings ...setting) *operatorEnv {
	t.Helper()
	t.Parallel()
	o := envOptions{server: coderd.Options{DisableRateLimits: true}, clock: clock.RealClock{}}
	for _, set := range settings {
		set(&o)
	}
	w := &operatorEnv{Env: testenv.New(t, kube.ForTest(t), o.labels), clock: o.clock}
	w.Coder = coderd.New(o.server)
	w.startServer(o)
	w.CreateUser(testenv.OperatorUser, coderd.RoleOwner)
	w.CreateUsers(testenv.MachineUser, testenv.PersonUser)
	w.writeReferences()
	return w
}

func (w *operatorEnv) startServer(o envOptions) {
	w.T.Helper()
	o.edge.Certificate = &w.NewAuthorities().TLS
	if o.mTLS {
		o.edge.ClientCAs = w.Clients.Pool()
	}
	var err error
	w.listener, err = w.Coder.Start(coderd.ListenOptions{Edge: o.edge})
	w.Must(err)
	w.T.Cleanup(func() { _ = w.listener.Close() })
}

// writeReferences writes what a deployment refers to.
func (w *operatorEnv) writeReferences() {
	w.T.Helper()
	w.WriteSecret(testenv.TokenSecret, map[string]string{"token": w.userToken(testenv.OperatorUser)})
	w.WriteSecret("edge-headers", map[string]string{"id": w.newSentinel("header-value")})
	w.WriteClientCertificate(testenv.CertificateSecret, testenv.OperatorUser)
	w.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": string(w.Servers.PEM())})
}

// userToken makes a token on the server, past the operator.
func (w *operatorEnv) userToken(user string) string {
	w.T.Helper()
	value := w.CreateToken(user, "")
	w.sentinels = append(w.sentinels, value)
	return value
}

// newSentinel is a made-up secret value.
func (w *operatorEnv) newSentinel(what string) string {
	value := fmt.Sprintf("sentinel-%s-%s", what, w.Namespace)
	w.sentinels = append(w.sentinels, value)
	return value
}

// newDeployment refers to the test's server and all its Secrets, with a short quiet period so that
// tests need not wait.
func (w *operatorEnv) newDeployment(name string, changes ...testenv.DeploymentChange) *v1alpha1.CoderDeployment {
	value := "plain"
	id := &v1alpha1.HeaderSource{SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "edge-headers", Key: "id"}}
	return w.NewDeployment(name, w.listener.URL(), append([]testenv.DeploymentChange{
		func(spec *v1alpha1.CoderDeploymentSpec) {
			spec.Headers = []v1alpha1.Header{{Name: "X-Edge-Id", ValueFrom: id}, {Name: "X-Plain", Value: &value}}
			spec.Verify = v1alpha1.VerifyPolicy{Interval: "1h", QuietPeriod: "200ms", MaxDelay: "2s", Timeout: "5s"}
		},
	}, changes...)...)
}

func withInterval(interval v1alpha1.Duration) testenv.DeploymentChange {
	return func(spec *v1alpha1.CoderDeploymentSpec) { spec.Verify.Interval = interval }
}
