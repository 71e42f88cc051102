// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// neighbourEnv is a test's own namespace, Coder server and operator.
type neighbourEnv struct {
	*testenv.Env
	url      string // of the Coder server
	operator *inprocess.Operator
}

// newEnv starts a Coder server with an OAuth2 provider, and writes what a deployment refers to. The
// operator is started by the test.
func newEnv(t *testing.T) *neighbourEnv {
	t.Helper()
	t.Parallel()
	return newEnvIn(t, kube.ForTest(t))
}

// newEnvIn is newEnv in another cluster than that of the other tests.
func newEnvIn(t *testing.T, cluster *kube.Cluster) *neighbourEnv {
	t.Helper()
	w := &neighbourEnv{Env: testenv.New(t, cluster, nil)}
	w.Coder = coderd.New(coderd.Options{
		DisableRateLimits: true, OAuth2Provider: true, DynamicRegistration: true,
	})
	listener, err := w.Coder.Start(coderd.ListenOptions{Edge: coderd.Edge{Certificate: &w.NewAuthorities().TLS}})
	w.Must(err)
	t.Cleanup(func() { _ = listener.Close() })
	w.url = listener.URL()
	w.CreateUser(testenv.OperatorUser, coderd.RoleOwner)
	w.CreateUsers(testenv.MachineUser, testenv.PersonUser)
	w.WriteSecret(testenv.TokenSecret, map[string]string{"token": w.CreateToken(testenv.OperatorUser, "")})
	w.WriteClientCertificate(testenv.CertificateSecret, testenv.OperatorUser)
	w.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": string(w.Servers.PEM())})
	return w
}

// newDeployment refers to what newEnv has written.
func (w *neighbourEnv) newDeployment(changes ...testenv.DeploymentChange) *v1alpha1.CoderDeployment {
	return w.NewDeployment(testenv.DeploymentName, w.url, append([]testenv.DeploymentChange{
		func(spec *v1alpha1.CoderDeploymentSpec) {
			spec.Verify = v1alpha1.VerifyPolicy{Interval: "1s", QuietPeriod: "200ms", MaxDelay: "2s", Timeout: "5s"}
		},
	}, changes...)...)
}

// startOperator starts an operator for these namespaces, or the test's, with an empty memory.
func (w *neighbourEnv) startOperator(namespaces ...string) {
	w.T.Helper()
	if len(namespaces) == 0 {
		namespaces = []string{w.Namespace}
	}
	w.runOperator(inprocess.Options{Namespaces: namespaces})
}

// runOperator starts an operator in the test's cluster.
func (w *neighbourEnv) runOperator(options inprocess.Options) {
	w.T.Helper()
	options.Config, options.Scheme = w.Cluster.Config, w.Cluster.Scheme
	operator, err := inprocess.Start(options)
	w.Must(err)
	w.operator = operator
	w.T.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			w.T.Error(err)
		}
	})
}

// withManifest returns the object as a tool sends it: with its kind, and without what the API server
// and the operator write.
func (w *neighbourEnv) withManifest(object client.Object) *unstructured.Unstructured {
	w.T.Helper()
	kind, err := apiutil.GVKForObject(object, w.Cluster.Scheme)
	w.Must(err)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	w.Must(err)
	delete(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	manifest := &unstructured.Unstructured{Object: content}
	manifest.SetGroupVersionKind(kind)
	return manifest
}

// serverSideApply applies a manifest, and returns what the API server has then.
func (w *neighbourEnv) serverSideApply(
	manifest *unstructured.Unstructured, manager string, options ...client.ApplyOption,
) (*unstructured.Unstructured, error) {
	w.T.Helper()
	applied := manifest.DeepCopy()
	err := w.Client.Apply(w.T.Context(), client.ApplyConfigurationFromUnstructured(applied),
		append([]client.ApplyOption{client.FieldOwner(manager)}, options...)...)
	return applied, err
}

// kubectl runs kubectl as the admin, and returns what it wrote.
func (w *neighbourEnv) kubectl(stdin string, args ...string) (string, error) {
	w.T.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(w.T.Context(), w.Cluster.Kubectl,
		append([]string{"--kubeconfig=" + w.Cluster.Kubeconfig, "--namespace=" + w.Namespace}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String(), nil
}

// liveTokens: the server has so many live tokens that the operator minted.
func (w *neighbourEnv) hasLiveTokens(want int) wait.Check {
	return func(context.Context) error {
		if live := w.LiveTokens("cso-"); len(live) != want {
			return fmt.Errorf("%d live minted tokens on the server, want %d", len(live), want)
		}
		return nil
	}
}

// isGone: the object does not exist.
func (w *neighbourEnv) isGone(object client.Object) wait.Check {
	return func(ctx context.Context) error {
		err := w.Client.Get(ctx, client.ObjectKeyFromObject(object), object)
		if err == nil {
			return fmt.Errorf("%T %s is still there", object, object.GetName())
		}
		return client.IgnoreNotFound(err)
	}
}

// holds: the Secret's key has this value.
func (w *neighbourEnv) holds(secret, key, value string) wait.Check {
	return func(ctx context.Context) error {
		s, err := w.GetSecret(ctx, secret)
		if err == nil && string(s.Data[key]) != value {
			err = errors.New("Secret " + secret + " has another value of " + key)
		}
		return err
	}
}

// publishedToken is the token in a Secret of a session.
func publishedToken(s *corev1.Secret) string { return string(s.Data["session"]) }
