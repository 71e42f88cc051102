// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"context"
	"errors"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// api stores objects as an API server does. Its faults are called before each request, or after
// each write.
type api struct {
	client.Reader // List is not used

	mu          sync.Mutex
	secrets     map[types.NamespacedName]*corev1.Secret
	sessions    map[types.NamespacedName]*v1alpha1.CoderSession
	deployments map[types.NamespacedName]*v1alpha1.CoderDeployment
	version     int
	before      func(verb string, key types.NamespacedName) error
	after       func(verb string, key types.NamespacedName) error
}

func newAPI() *api {
	return &api{
		secrets: map[types.NamespacedName]*corev1.Secret{}, sessions: map[types.NamespacedName]*v1alpha1.CoderSession{},
		deployments: map[types.NamespacedName]*v1alpha1.CoderDeployment{}, version: 98,
	}
}

var errAPI = apierrors.NewInternalError(errors.New("etcd is away"))

// disturb sets the faults.
func (a *api) disturb(before, after func(verb string, key types.NamespacedName) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.before, a.after = before, after
}

func (a *api) fault(verb string, key types.NamespacedName) error {
	a.mu.Lock()
	before := a.before
	a.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(verb, key)
}

func (a *api) aftermath(verb string, key types.NamespacedName) error {
	a.mu.Lock()
	after := a.after
	a.mu.Unlock()
	if after == nil {
		return nil
	}
	return after(verb, key)
}

func (a *api) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	if err := a.fault("get", key); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	found := false
	switch into := obj.(type) {
	case *corev1.Secret:
		if stored := a.secrets[key]; stored != nil {
			stored.DeepCopyInto(into)
			found = true
		}
	case *v1alpha1.CoderSession:
		if stored := a.sessions[key]; stored != nil {
			stored.DeepCopyInto(into)
			found = true
		}
	case *v1alpha1.CoderDeployment:
		if stored := a.deployments[key]; stored != nil {
			stored.DeepCopyInto(into)
			found = true
		}
	case *metav1.PartialObjectMetadata:
		if stored := a.secrets[key]; stored != nil {
			stored.ObjectMeta.DeepCopyInto(&into.ObjectMeta)
			found = true
		}
	default:
		return errors.New("something else was read")
	}
	if !found {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "objects"}, key.Name)
	}
	return nil
}

func (a *api) Create(_ context.Context, obj client.Object, _ ...client.CreateOption) error {
	return a.write("create", obj, func(stored *corev1.Secret) error {
		if stored != nil {
			return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "secrets"}, obj.GetName())
		}
		obj.SetUID(types.UID("uid-" + strconv.Itoa(a.version)))
		return nil
	})
}

func (a *api) Update(_ context.Context, obj client.Object, _ ...client.UpdateOption) error {
	return a.write("update", obj, func(stored *corev1.Secret) error {
		switch resource := (schema.GroupResource{Resource: "secrets"}); {
		case stored == nil:
			return apierrors.NewNotFound(resource, obj.GetName())
		case obj.GetResourceVersion() == "":
			return apierrors.NewBadRequest("an update without a precondition")
		case obj.GetResourceVersion() != stored.ResourceVersion || obj.GetUID() != stored.UID:
			return apierrors.NewConflict(resource, obj.GetName(), errors.New("the object has been modified"))
		}
		return nil
	})
}

func (a *api) write(verb string, obj client.Object, check func(*corev1.Secret) error) error {
	key := client.ObjectKeyFromObject(obj)
	if err := a.fault(verb, key); err != nil {
		return err
	}
	a.mu.Lock()
	err := check(a.secrets[key])
	if err == nil {
		a.version++
		obj.SetResourceVersion(strconv.Itoa(a.version))
		a.secrets[key] = obj.(*corev1.Secret).DeepCopy()
	}
	a.mu.Unlock()
	if err != nil {
		return err
	}
	return a.aftermath(verb, key)
}

func (a *api) Delete(context.Context, client.Object, ...client.DeleteOption) error {
	return errors.New("nothing is deleted by a callback")
}

// put stores a Secret as another client's write; nil removes it.
func (a *api) put(key types.NamespacedName, secret *corev1.Secret) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if secret == nil {
		delete(a.secrets, key)
		return
	}
	a.version++
	secret.Namespace, secret.Name, secret.ResourceVersion = key.Namespace, key.Name, strconv.Itoa(a.version)
	a.secrets[key] = secret
}

// edit changes a session; a nil change removes it.
func (a *api) edit(change func(*v1alpha1.CoderSession)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if change == nil {
		delete(a.sessions, sessionKey)
		return
	}
	change(a.sessions[sessionKey])
}
