// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/fakeapi"
)

// api is an API server with a session, its document and a deployment.
type api struct{ *fakeapi.Server }

func newAPI() *api { return &api{fakeapi.New()} }

var errAPI = apierrors.NewInternalError(errors.New("etcd is away"))

// setFaults sets functions that are called before each request, and after each write. Their errors
// are returned.
func (a *api) setFaults(before, after func(verb string, key types.NamespacedName) error) {
	hook := func(fault func(verb string, key types.NamespacedName) error) fakeapi.Hook {
		if fault == nil {
			return nil
		}
		return func(r fakeapi.Request) error { return fault(r.Verb, r.Key) }
	}
	a.Before(hook(before))
	a.After(hook(after))
}

// putSecret stores a Secret as another client's write; nil removes it.
func (a *api) putSecret(key types.NamespacedName, secret *corev1.Secret) {
	if secret == nil {
		fakeapi.Remove[corev1.Secret](a.Server, key)
		return
	}
	secret.Namespace, secret.Name = key.Namespace, key.Name
	a.Put(secret)
}

// storedDocument is a copy of the session's document, or nil.
func (a *api) storedDocument() *corev1.Secret {
	return fakeapi.Stored[corev1.Secret](a.Server, documentKey)
}

// editSession changes a session; a nil change removes it.
func (a *api) editSession(change func(*v1alpha1.CoderSession)) {
	if change == nil {
		fakeapi.Remove[v1alpha1.CoderSession](a.Server, sessionKey)
		return
	}
	fakeapi.Edit(a.Server, sessionKey, change)
}

func (a *api) storedDeployment() *v1alpha1.CoderDeployment {
	return fakeapi.Stored[v1alpha1.CoderDeployment](a.Server, deploymentKey)
}

// editDeployment changes the deployment's spec.
func (a *api) editDeployment(change func(*v1alpha1.CoderDeploymentSpec)) {
	fakeapi.Edit(a.Server, deploymentKey, func(d *v1alpha1.CoderDeployment) {
		change(&d.Spec)
		d.Generation++
	})
}
