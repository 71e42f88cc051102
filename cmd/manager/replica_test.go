// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

const patience = time.Minute

// installation is a namespace with a service account that has the operator's roles.
type installation struct {
	t          *testing.T
	cluster    *kube.Cluster
	namespace  string
	kubeconfig string
}

// newInstallation makes one with the roles of config/rbac, of which the first may be changed.
func newInstallation(t *testing.T, changes ...func(*rbacv1.ClusterRole)) *installation {
	t.Helper()
	t.Parallel()
	in := &installation{t: t, cluster: kube.ForTest(t)}
	in.namespace = in.cluster.Namespace(t, nil)
	user, err := in.cluster.User("operator-of-" + in.namespace)
	in.failOnError(err)
	in.kubeconfig = user.Kubeconfig
	root, err := kube.Root()
	in.failOnError(err)
	role, lease := &rbacv1.ClusterRole{}, &rbacv1.Role{}
	for name, into := range map[string]client.Object{"role.yaml": role, "leader_election_role.yaml": lease} {
		text, err := os.ReadFile(filepath.Join(root, "config", "rbac", name))
		in.failOnError(err)
		in.failOnError(yaml.UnmarshalStrict(text, into))
	}
	for _, change := range changes {
		change(role)
	}
	meta := metav1.ObjectMeta{Name: in.namespace, Namespace: in.namespace}
	role.ObjectMeta, lease.ObjectMeta = metav1.ObjectMeta{Name: in.namespace}, meta
	account := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind,
		Name: "operator-of-" + in.namespace}}
	in.createObjects(role, lease,
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

func (in *installation) failOnError(err error) {
	in.t.Helper()
	if err != nil {
		in.t.Fatal(err)
	}
}

func (in *installation) createObjects(objects ...client.Object) {
	in.t.Helper()
	for _, object := range objects {
		in.failOnError(in.cluster.Client.Create(in.t.Context(), object))
	}
}

// replica is a process of the operator with the webhook.
type replica struct {
	*program.Operator
	t *testing.T
	// port of the webhook.
	port int32
}

// startReplica starts a replica with the webhook.
func (in *installation) startReplica(flags ...string) *replica {
	in.t.Helper()
	address := program.FreeAddressForTest(in.t)
	_, text, err := net.SplitHostPort(address)
	in.failOnError(err)
	port, err := strconv.ParseInt(text, 10, 32)
	in.failOnError(err)
	r := &replica{t: in.t, port: int32(port), Operator: program.OperatorForTest(in.t, program.OperatorOptions{
		Path: os.Args[0], Env: []string{replicaEnv + "=1"}, Kubeconfig: in.kubeconfig, Namespace: in.namespace,
		Flags: append([]string{"--enable-webhooks", "--webhook-bind-address=" + address}, flags...),
	})}
	in.t.Cleanup(r.stop)
	return r
}

// stop ends the replica as a kubelet does, and waits until it has exited.
func (r *replica) stop() {
	r.t.Helper()
	if err := r.Stop(); err != nil {
		r.t.Error(err)
	}
	if code := r.ExitCode(); code != 0 {
		r.t.Errorf("the replica ended with exit code %d", code)
	}
}

func (in *installation) eventually(checks ...wait.Check) {
	in.t.Helper()
	wait.ForTest(in.t, patience, wait.All(checks...))
}
