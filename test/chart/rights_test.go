//go:build chart

package chart

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// The manager works with the chart's roles and flags: it takes the lease and keeps
// the key of its fingerprints in the release's namespace, watches what it has to
// and reports, and is denied nothing.
func TestTheManagerHasTheRightsThatItNeeds(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "manager")
	if _, err := run(t, "", "go", "build", "-o", binary, "./cmd/manager"); err != nil {
		t.Fatal(err)
	}
	for name, scope := range map[string]string{
		"all namespaces":  "watchLabelSelector: test=%s",
		"some namespaces": "{watchNamespaces: [%s], clusterId: prod0001}",
	} {
		t.Run(name, func(t *testing.T) {
			cluster := kube.ForTest(t)
			own, watched := cluster.Namespace(t, nil), cluster.Namespace(t, nil)
			objects := render(t, own, fmt.Sprintf(scope, watched))
			for _, object := range objects {
				switch object.GetKind() {
				case "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding":
					if err := client.IgnoreAlreadyExists(cluster.Client.Create(t.Context(), object)); err != nil {
						t.Fatal(err)
					}
				}
			}
			pod := deployment(t, objects).Spec.Template.Spec
			logs := start(t, binary, own, pod.ServiceAccountName, pod.Containers[0].Args)
			d := &v1alpha1.CoderDeployment{
				ObjectMeta: metav1.ObjectMeta{Namespace: watched, Name: "prod", Labels: map[string]string{"test": watched}},
				Spec: v1alpha1.CoderDeploymentSpec{
					URL:   "https://127.0.0.1:1",
					Token: &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: "missing"}},
				},
			}
			if err := cluster.Client.Create(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
				if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
					return false, err
				}
				resolved := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionConfigResolved)
				return resolved != nil && resolved.Reason == v1alpha1.ReasonReferenceMissing, nil
			})
			if err != nil {
				t.Errorf("the manager does not report on a deployment: %v", err)
			}
			key := &corev1.Secret{}
			name := client.ObjectKey{Namespace: own, Name: "coder-session-operator-fingerprint"}
			if err := cluster.Client.Get(t.Context(), name, key); err != nil {
				t.Errorf("the key of the fingerprints: %v", err)
			}
			if text := logs(); strings.Contains(text, "forbidden") || t.Failed() {
				t.Errorf("the manager's log:\n%s", text)
			}
		})
	}
}

// start runs the manager as a service account would, without open ports. What is
// returned stops it and gives its log.
func start(t *testing.T, binary, namespace, serviceAccount string, args []string) func() string {
	t.Helper()
	user, err := kube.ForTest(t).User("system:serviceaccount:" + namespace + ":" + serviceAccount)
	if err != nil {
		t.Fatal(err)
	}
	// As a flag, because the variable is a list that colons separate.
	expanded := []string{"--kubeconfig=" + user.Kubeconfig}
	for _, arg := range args {
		expanded = append(expanded, strings.ReplaceAll(arg, "$(POD_NAMESPACE)", namespace))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, append(expanded, "--metrics-bind-address=0", "--health-probe-bind-address=0")...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	stop := func() string {
		cancel()
		_ = cmd.Wait() // its exit code says nothing that its log does not
		return output.String()
	}
	t.Cleanup(func() { stop() })
	return stop
}
