// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

const patience = time.Minute

// installation is a namespace with a service account that has the operator's roles.
type installation struct {
	t          *testing.T
	cluster    *kube.Cluster
	namespace  string
	kubeconfig string
}

func install(t *testing.T) *installation {
	t.Helper()
	t.Parallel()
	in := &installation{t: t, cluster: kube.ForTest(t)}
	in.namespace = in.cluster.Namespace(t, nil)
	user, err := in.cluster.User("operator-of-" + in.namespace)
	in.must(err)
	in.kubeconfig = user.Kubeconfig
	root, err := kube.Root()
	in.must(err)
	role, lease := &rbacv1.ClusterRole{}, &rbacv1.Role{}
	for name, into := range map[string]client.Object{"role.yaml": role, "leader_election_role.yaml": lease} {
		text, err := os.ReadFile(filepath.Join(root, "config", "rbac", name))
		in.must(err)
		in.must(yaml.UnmarshalStrict(text, into))
	}
	meta := metav1.ObjectMeta{Name: in.namespace, Namespace: in.namespace}
	role.ObjectMeta, lease.ObjectMeta = metav1.ObjectMeta{Name: in.namespace}, meta
	account := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind,
		Name: "operator-of-" + in.namespace}}
	in.create(role, lease,
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: in.namespace}, Subjects: account,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: in.namespace},
		},
		&rbacv1.RoleBinding{
			ObjectMeta: meta, Subjects: account,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: in.namespace},
		})
	return in
}

func (in *installation) must(err error) {
	in.t.Helper()
	if err != nil {
		in.t.Fatal(err)
	}
}

func (in *installation) create(objects ...client.Object) {
	in.t.Helper()
	for _, object := range objects {
		in.must(in.cluster.Client.Create(in.t.Context(), object))
	}
}

// replica is a process of the operator.
type replica struct {
	t       *testing.T
	command *exec.Cmd
	ended   chan error
	log     *journal
	probes  string
	// port of the webhook.
	port int32
}

// start starts a replica with the webhook.
func (in *installation) start(flags ...string) *replica {
	in.t.Helper()
	port := in.freePort()
	r := &replica{t: in.t, log: &journal{}, ended: make(chan error, 1), port: port,
		probes: fmt.Sprintf("127.0.0.1:%d", in.freePort())}
	flags = append([]string{
		"--kubeconfig=" + in.kubeconfig, "--leader-election-namespace=" + in.namespace, "--metrics-bind-address=0",
		"--health-probe-bind-address=" + r.probes, "--enable-webhooks",
		fmt.Sprintf("--webhook-bind-address=127.0.0.1:%d", port),
	}, flags...)
	r.command = exec.Command(os.Args[0], flags...)
	r.command.Env = append(os.Environ(), replicaEnv+"=1")
	r.command.Stdout, r.command.Stderr = r.log, r.log
	in.must(r.command.Start())
	go func() { r.ended <- r.command.Wait() }()
	in.t.Cleanup(func() {
		r.stop()
		if in.t.Failed() {
			in.t.Logf("log of the replica at %s:\n%s", r.probes, r.log)
		}
	})
	return r
}

func (in *installation) freePort() int32 {
	in.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	in.must(err)
	defer func() { _ = listener.Close() }()
	return int32(listener.Addr().(*net.TCPAddr).Port)
}

// stop ends the replica as a kubelet does, and waits until it has exited.
func (r *replica) stop() {
	_ = r.command.Process.Signal(syscall.SIGTERM)
	err, running := <-r.ended
	if running {
		close(r.ended)
	}
	if err != nil {
		r.t.Errorf("the replica ended with: %v", err)
	}
}

// answers reports whether the probe returns this status, and a body with the fragment.
func (r *replica) answers(path string, status int, fragment string) check {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.probes+path, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return err
		}
		if answer.StatusCode != status || !strings.Contains(string(body), fragment) {
			return fmt.Errorf("%s: %d %s", path, answer.StatusCode, body)
		}
		return nil
	}
}

// check returns an error until the condition is true.
type check func(context.Context) error

func (in *installation) eventually(checks ...check) {
	in.t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(
		in.t.Context(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
			for _, c := range checks {
				if last = c(ctx); last != nil {
					return false, nil
				}
			}
			return true, nil
		})
	if err != nil {
		in.t.Fatalf("still not so after %s: %v", patience, last)
	}
}

// journal collects the output of a process.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
