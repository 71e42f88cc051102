// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// asTenant returns a client of a user who may create and read CoderSessions in a namespace, and nothing
// else.
func (w *operatorEnv) asTenant(namespace string) client.Client {
	w.T.Helper()
	user, err := w.Cluster.User(namespace)
	w.Must(err)
	role := &rbacv1.Role{Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"codersessions"},
		Verbs: []string{"create", "get", "update", "patch"},
	}}}
	role.Namespace, role.Name = namespace, "tenant"
	binding := &rbacv1.RoleBinding{
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user.Name}},
	}
	binding.Namespace, binding.Name = namespace, "tenant"
	w.Create(role, binding)
	tenant, err := client.New(user.Config, client.Options{Scheme: w.Client.Scheme()})
	w.Must(err)
	return tenant
}

// B135: a user who may only create sessions in a namespace of their own does not keep the deployment of
// another namespace from being deleted.
func TestAStrangersSessionDoesNotKeepADeployment(t *testing.T) {
	w := newEnv(t, withMTLS)
	strangers := w.Cluster.Namespace(t, nil)
	w.startOperator(strangers)
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", testenv.MachineUser))
	stranger := w.newGuestSession(strangers, "stranger", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}})
	stranger.Finalizers = []string{v1alpha1.SessionFinalizer}
	w.Must(w.asTenant(strangers).Create(t.Context(), stranger))
	s := w.inNamespace(strangers)
	w.Eventually(w.IsReady("ci"), s.IsNotReady("stranger", v1alpha1.ReasonAccessDenied, "no access rule"))
	d, err := w.GetDeployment(t.Context(), "prod")
	w.Must(err)
	w.Delete(d)
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonTerminating, "/ci: delete"))
	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.noDeployment("prod"), s.IsNotReady("stranger", v1alpha1.ReasonAwaitingDeployment, "does not exist"))
}
