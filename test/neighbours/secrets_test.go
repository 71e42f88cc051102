// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// keeper is a controller that keeps the Secrets of the test as it has them.
type keeper struct {
	*neighbourEnv
	manager string
	owner   metav1.OwnerReference
	marks   map[string]string // annotations and labels
}

// externalSecrets writes what an ExternalSecret with creationPolicy Owner asks for.
func (w *neighbourEnv) externalSecrets() *keeper {
	return &keeper{w, "external-secrets", metav1.OwnerReference{
		APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Name: "coder",
		UID:        "1b9f6b0e-0000-4000-8000-000000000001",
		Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
	}, map[string]string{"reconcile.external-secrets.io/managed": "true"}}
}

// sealedSecrets writes what a SealedSecret holds.
func (w *neighbourEnv) sealedSecrets() *keeper {
	return &keeper{w, "controller", metav1.OwnerReference{
		APIVersion: "bitnami.com/v1alpha1", Kind: "SealedSecret", Name: "coder",
		UID:        "1b9f6b0e-0000-4000-8000-000000000002",
		Controller: ptr.To(true),
	}, map[string]string{"sealedsecrets.bitnami.com/managed": "true"}}
}

// write creates or replaces a Secret, as these controllers do at each synchronisation.
func (k *keeper) write(name, key, value string) {
	k.T.Helper()
	as := client.WithFieldOwner(k.Client, k.manager)
	secret := &corev1.Secret{ObjectMeta: k.Meta(name)}
	err := k.Get(k.T.Context(), name, secret)
	k.Must(client.IgnoreNotFound(err))
	secret.OwnerReferences = []metav1.OwnerReference{k.owner}
	secret.Data = map[string][]byte{key: []byte(value)}
	secret.Labels, secret.Annotations = k.marks, k.marks
	if secret.UID == "" {
		k.Must(as.Create(k.T.Context(), secret))
		return
	}
	k.Must(as.Update(k.T.Context(), secret))
}

// isWrittenBy: no other manager has written to the Secret.
func (w *neighbourEnv) isWrittenBy(name, manager string) wait.Check {
	return func(ctx context.Context) error {
		secret, err := w.GetSecret(ctx, name)
		if err != nil {
			return err
		}
		for _, entry := range secret.ManagedFields {
			if entry.Manager != manager {
				return fmt.Errorf("%s has written to Secret %s", entry.Manager, name)
			}
		}
		return nil
	}
}

// Secrets that another controller keeps are read and never written, may appear after what refers to
// them, and take effect when that controller replaces their content: the operator's own token, a
// supplied token, and one that the keeper puts back by writing it again.
func TestSecretsThatAnotherControllerKeeps(t *testing.T) {
	for name, neighbour := range map[string]func(*neighbourEnv) *keeper{
		"External Secrets": (*neighbourEnv).externalSecrets, "Sealed Secrets": (*neighbourEnv).sealedSecrets,
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t)
			k := neighbour(w)
			w.Delete(w.CurrentSecret(testenv.TokenSecret))
			w.startOperator()
			w.Create(w.newDeployment(), w.NewSuppliedSession("mine", "my-token",
				func(spec *v1alpha1.CoderSessionSpec) { spec.Secret = &v1alpha1.GeneratedSecret{Name: "mine-coder"} }),
				w.NewMintedSession("ci", testenv.MachineUser))
			w.Eventually(w.DeploymentIs(testenv.DeploymentName, v1alpha1.ConditionConfigResolved, metav1.ConditionFalse,
				v1alpha1.ReasonReferenceMissing, testenv.TokenSecret))

			first, second := w.CreateToken(testenv.PersonUser, ""), w.CreateToken(testenv.PersonUser, "")
			k.write(testenv.TokenSecret, "token", w.CreateToken(testenv.OperatorUser, ""))
			k.write("my-token", "token", first)
			w.Eventually(w.IsReady("mine"), w.IsReady("ci"), w.holds("mine-coder", "session", first))
			minted := publishedToken(w.CurrentSecret("ci"))

			// Newlines at the end are what stores add.
			k.write("my-token", "token", second+"\n")
			w.Eventually(w.holds("mine-coder", "session", second), w.IsReady("mine"))
			k.write(testenv.TokenSecret, "token", w.CreateToken(testenv.OperatorUser, ""))
			k.write("my-token", "token", second)
			w.Eventually(w.IsVerified(testenv.DeploymentName), w.IsReady("mine"),
				w.isWrittenBy(testenv.TokenSecret, k.manager), w.isWrittenBy("my-token", k.manager))
			if publishedToken(w.CurrentSecret("ci")) != minted {
				t.Error("a new token of the operator's own replaced the session's")
			}
			for mark := range k.marks {
				if text := fmt.Sprint(w.CurrentSecret("mine-coder").ObjectMeta); strings.Contains(text, mark) {
					t.Errorf("the generated Secret has the mark %s", mark)
				}
			}
		})
	}
}

// A PushSecret copies a generated Secret to a store: it reads, and the store gets each new token once.
// Nothing changes in a generated Secret without a new token, so that what watches it has no work.
func TestAGeneratedSecretChangesWithItsTokenOnly(t *testing.T) {
	w := newEnv(t)
	w.startOperator()
	w.Create(w.newDeployment(), w.NewMintedSession("ci", testenv.MachineUser))
	w.Eventually(w.IsReady("ci"))
	before := w.CurrentSecret("ci")
	looks := w.Coder.Count("GET", "/api/v2/buildinfo")
	w.WriteClientCertificate(testenv.CertificateSecret, testenv.OperatorUser)
	w.Eventually(func(context.Context) error {
		if now := w.Coder.Count("GET", "/api/v2/buildinfo"); now < looks+3 {
			return fmt.Errorf("verified %d times", now-looks)
		}
		return nil
	}, w.IsReady("ci"))
	if now := w.CurrentSecret("ci"); now.ResourceVersion != before.ResourceVersion {
		t.Errorf("the Secret was written although its token is the same: %v", now.ManagedFields)
	}
	w.requestRenewal("ci", "2030-01-01T00:00:00Z")
	w.Eventually(w.publishesAnother("ci", publishedToken(before)))
}
