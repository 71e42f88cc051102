// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/shifted"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// crashEnv is one case: a namespace, a Coder server and the operators that work there.
type crashEnv struct {
	*testenv.Env
	gate  *gate
	keys  *certificates
	clock *shifted.Clock
	// orphanGrace is long where the sessions themselves must leave nothing behind.
	orphanGrace time.Duration
	operators   []*operator
	// foreign are values of tokens that the operator must leave alone.
	foreign []string
	// bystander is the Secret of the session that nothing happens to; nil: none.
	bystander *corev1.Secret
}

// newEnv starts a Coder server with the users operator (owner), ci-bot and ada, and writes the
// objects that a deployment refers to. The label says in every message which case this is.
func newEnv(t *testing.T, label string) *crashEnv {
	t.Helper()
	w := &crashEnv{Env: testenv.New(t, kube.ForTest(t), nil), clock: &shifted.Clock{}, orphanGrace: time.Hour}
	w.Label, w.Patience, w.Interval, w.Describe = label, patience, pause, w.describeState
	var err error
	w.keys, err = newCertificates()
	w.Must(err)
	w.Coder = coderd.New(coderd.Options{DisableRateLimits: true, Clock: w.clock})
	w.gate = newGate(t, w.Coder, w.keys)
	w.gate.owner = w.CreateUser(testenv.OperatorUser, coderd.RoleOwner).ID
	w.CreateUsers(testenv.MachineUser, testenv.PersonUser)
	w.WriteSecret(testenv.TokenSecret, map[string]string{"token": w.CreateToken(testenv.OperatorUser, "")})
	w.writeCertificate(w.keys.operator)
	w.WriteSecret("ca", map[string]string{"ca.crt": string(w.keys.servers.PEM())})
	for _, name := range []string{"laptop", "cso-elsewher-0badcafe-1"} {
		w.foreign = append(w.foreign, w.CreateToken(testenv.MachineUser, name))
	}
	return w
}

func (w *crashEnv) writeCertificate(c *certs.Certificate) {
	w.T.Helper()
	w.WriteSecret(testenv.CertificateSecret, c.Data())
}

// editObject edits an object as a user would, again after a conflict.
func editObject[T client.Object](w *crashEnv, object T, edit func(T)) {
	w.T.Helper()
	w.Eventually(func(ctx context.Context) error {
		if err := w.Client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		edit(object)
		return w.Client.Update(ctx, object)
	})
}

// newDeployment refers to the test's server and its Secrets, and lists tokens as often as it may.
func (w *crashEnv) newDeployment() *v1alpha1.CoderDeployment {
	return w.NewDeployment(testenv.DeploymentName, w.gate.http.URL, func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.TLS.CABundle = &v1alpha1.CABundleRef{Kind: "Secret", Name: "ca", Key: "ca.crt"}
		spec.Verify = v1alpha1.VerifyPolicy{Interval: "500ms", QuietPeriod: "100ms", MaxDelay: "1s", Timeout: "20s"}
	})
}

// newMintedSession is a session that mints for a user for an hour, with this overlap.
func (w *crashEnv) newMintedSession(name, user string, overlap v1alpha1.Duration) *v1alpha1.CoderSession {
	return w.NewMintedSession(name, user, func(spec *v1alpha1.CoderSessionSpec) {
		spec.Auth.Mint.Lifetime, spec.Rotation = "1h", &v1alpha1.Rotation{Overlap: &overlap}
	})
}
