// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Shared(m)) }

func TestTheOperatorsKindsAreServed(t *testing.T) {
	t.Parallel()
	cluster := kube.ForTest(t)
	namespace := cluster.Namespace(t, nil)
	var deployments v1alpha1.CoderDeploymentList
	if err := cluster.Client.List(t.Context(), &deployments, client.InNamespace(namespace)); err != nil {
		t.Error(err)
	}
	var sessions v1alpha1.CoderSessionList
	if err := cluster.Client.List(t.Context(), &sessions, client.InNamespace(namespace)); err != nil {
		t.Error(err)
	}
}

func TestEachNamespaceIsNewAndHasItsLabels(t *testing.T) {
	t.Parallel()
	cluster := kube.ForTest(t)
	first, second := cluster.Namespace(t, map[string]string{"team": "a"}), cluster.Namespace(t, nil)
	if first == second {
		t.Errorf("both namespaces are %s", first)
	}
	var namespace corev1.Namespace
	if err := cluster.Client.Get(t.Context(), client.ObjectKey{Name: first}, &namespace); err != nil {
		t.Fatal(err)
	}
	if namespace.Labels["team"] != "a" {
		t.Errorf("labels are %v", namespace.Labels)
	}
}

func TestKubectlWorksWithTheKubeconfig(t *testing.T) {
	t.Parallel()
	cluster := kube.ForTest(t)
	command := exec.CommandContext(t.Context(), cluster.Kubectl, "--kubeconfig", cluster.Kubeconfig, "get", "namespaces",
		"-o", "name")
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "namespace/kube-system") {
		t.Errorf("kubectl: %v\n%s", err, output)
	}
}

func TestAUserMayOnlyWhatRBACGives(t *testing.T) {
	t.Parallel()
	cluster := kube.ForTest(t)
	user, err := cluster.User("without-roles")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := client.New(user.Config, client.Options{Scheme: cluster.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.List(t.Context(), &corev1.SecretList{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing Secrets: %v, want forbidden", err)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	// Shows that the flag is passed on.
	cluster, err := kube.Start(t.Context(), kube.Options{
		Logf:           t.Logf,
		APIServerFlags: map[string]string{"feature-gates": "AllAlpha=false"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := cluster.Stop(); err != nil {
		t.Errorf("stop once more: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(cluster.Kubeconfig)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	again := rest.CopyConfig(cluster.Config)
	if _, err := client.New(again, client.Options{Scheme: cluster.Scheme}); err == nil {
		if err := cluster.Client.List(t.Context(), &corev1.NamespaceList{}); err == nil {
			t.Error("the API server still answers")
		}
	}
}

func TestAFailedStartShowsWhatTheProgramSaid(t *testing.T) {
	t.Parallel()
	_, err := kube.Start(t.Context(), kube.Options{APIServerFlags: map[string]string{"no-such-flag": "x"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("error is %v", err)
	}
}

func TestAStartCanBeGivenUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := kube.Start(ctx, kube.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestMissingProgramsAreAnErrorThatSaysHowToGetThem(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", t.TempDir())
	_, err := kube.Start(t.Context(), kube.Options{})
	if err == nil || !strings.Contains(err.Error(), "make kube") {
		t.Errorf("error is %v", err)
	}
}
