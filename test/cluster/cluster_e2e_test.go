// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/coder-session-operator/coder-session-operator/test/cluster"
)

const probeImage = "probe:test"

func TestMain(m *testing.M) {
	if err := cluster.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestANode is one test with many checks, since starting a cluster takes long.
func TestANode(t *testing.T) {
	probe, archive := buildProbe(t)
	c, err := cluster.Start(t.Context(), cluster.Options{
		Programs:    filepath.Join("..", "..", "bin", "kube"),
		Logf:        t.Logf,
		KubeletSync: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		leavesNothing(t)
	})
	if err := c.LoadImage(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	clients, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	createServer(t, clients)
	createClient(t, clients)

	// The pod runs with its Secret, and another one reaches it by its Service's name.
	waitForSuccess(t, func() error { return askFromPod(t, c, "http://server.default.svc", "one") })
	waitForSuccess(t, func() error { return askFromPod(t, c, "http://headless.default.svc:8080", "one") })
	if logs := runKubectl(t, c, "logs", "server"); logs != "serving /secret/content\n" {
		t.Errorf("the pod's log is %q", logs)
	}
	secret, err := clients.CoreV1().Secrets("default").Get(t.Context(), "content", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secret.StringData = map[string]string{"content": "two"}
	if _, err := clients.CoreV1().Secrets("default").Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	waitForSuccess(t, func() error { return askFromPod(t, c, "http://server.default.svc", "two") })
	// A program of the node reaches Services, too, as webhooks need it.
	if output, err := exec.CommandContext(t.Context(), probe, "get",
		"http://server.default.svc").CombinedOutput(); string(output) != "two" {
		t.Errorf("the node is answered %q (%v)", output, err)
	}
}

// askFromPod requests the URL from the client's pod and compares the answer.
func askFromPod(t *testing.T, c *cluster.Cluster, url, want string) error {
	answer, err := exec.CommandContext(t.Context(), c.Kubectl, "--kubeconfig", c.Kubeconfig,
		"exec", "client", "--", "/probe", "get", url).CombinedOutput()
	if err != nil {
		return fmt.Errorf("the client is answered %q: %w", answer, err)
	}
	if string(answer) != want {
		return fmt.Errorf("the client is answered %q, want %q", answer, want)
	}
	return nil
}

func runKubectl(t *testing.T, c *cluster.Cluster, arguments ...string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), c.Kubectl,
		append([]string{"--kubeconfig", c.Kubeconfig}, arguments...)...).Output()
	if err != nil {
		t.Errorf("kubectl %s: %v", arguments, err)
	}
	return string(output)
}

func createServer(t *testing.T, clients kubernetes.Interface) {
	t.Helper()
	ctx, core := t.Context(), clients.CoreV1()
	_, err := core.Secrets("default").Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "content"},
		StringData: map[string]string{"content": "one"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := probePod("server", "serve", ":8080", "/secret/content")
	pod.Labels = map[string]string{"app": "server"}
	pod.Spec.Volumes = []corev1.Volume{{Name: "content", VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: "content"},
	}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "content", MountPath: "/secret"}}
	if _, err := core.Pods("default").Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{"server": "", "headless": corev1.ClusterIPNone} {
		_, err = core.Services("default").Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.ServiceSpec{
				ClusterIP: address,
				Selector:  pod.Labels,
				Ports:     []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// createClient makes a pod to run commands in. It serves too, but receives no requests.
func createClient(t *testing.T, clients kubernetes.Interface) {
	t.Helper()
	pod := probePod("client", "serve", ":8080", "/none")
	if _, err := clients.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func probePod(name string, arguments ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "probe", Image: probeImage, ImagePullPolicy: corev1.PullNever, Args: arguments,
		}}},
	}
}

// buildProbe builds the program that the pods run, and the image that it is in.
func buildProbe(t *testing.T) (program, archive string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "probe")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./internal/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the probe: %v\n%s", err, output)
	}
	archive = filepath.Join(t.TempDir(), "probe.tar")
	err := cluster.WriteImage(archive, cluster.Image{
		Name:       probeImage,
		Files:      map[string]string{"/probe": program},
		Entrypoint: []string{"/probe"},
		User:       "65532:65532",
	})
	if err != nil {
		t.Fatal(err)
	}
	return program, archive
}

// waitForSuccess waits until a check succeeds, and fails with the check's last error.
func waitForSuccess(t *testing.T, check func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, time.Minute, true,
		func(context.Context) (bool, error) {
			last = check()
			return last == nil, nil
		})
	if err != nil {
		t.Fatal(errors.Join(err, last))
	}
}

// leavesNothing looks at all that a node makes: in its namespaces every process and
// every mount is seen.
func leavesNothing(t *testing.T) {
	t.Helper()
	programs, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		name, err := os.Readlink(program)
		self, _ := os.Executable()
		if err == nil && name != self {
			t.Errorf("%s still runs as %s", name, filepath.Dir(program))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for mount := range strings.Lines(string(mounts)) {
		for _, folder := range []string{"/run/containerd/", "/run/netns/", "/var/lib/kubelet/", "/var/lib/containerd/"} {
			if strings.Contains(mount, " "+folder) {
				t.Errorf("still mounted: %s", mount)
			}
		}
	}
	// The name is the one that Enter chose; other clusters of the machine have others.
	name := os.Getenv("TEST_CLUSTER_CGROUP")
	for _, folder := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		if groups, err := filepath.Glob(filepath.Join(folder, name)); name == "" || err != nil || len(groups) > 0 {
			t.Errorf("cgroups named %q are left: %s (%v)", name, groups, err)
		}
	}
}
