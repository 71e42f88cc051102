// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
)

// Meta is the metadata of an object in the test's namespace.
func (e *Env) Meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: e.Namespace, Name: name}
}

// Create creates objects.
func (e *Env) Create(objects ...client.Object) {
	e.T.Helper()
	for _, object := range objects {
		e.Must(e.Client.Create(e.T.Context(), object))
	}
}

// Delete deletes an object, or nothing where it is gone.
func (e *Env) Delete(object client.Object) {
	e.T.Helper()
	e.Must(client.IgnoreNotFound(e.Client.Delete(e.T.Context(), object)))
}

// Get reads an object of the test's namespace.
func (e *Env) Get(ctx context.Context, name string, into client.Object) error {
	return e.Client.Get(ctx, client.ObjectKey{Namespace: e.Namespace, Name: name}, into)
}

// Write creates an object, or updates the one that is there, again after a conflict. The change is
// applied to what was read.
func (e *Env) Write(object client.Object, change func()) {
	e.T.Helper()
	e.Must(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		err := e.Client.Get(e.T.Context(), client.ObjectKeyFromObject(object), object)
		change()
		if client.IgnoreNotFound(err) == nil && err != nil {
			return e.Client.Create(e.T.Context(), object)
		}
		if err != nil {
			return err
		}
		return e.Client.Update(e.T.Context(), object)
	}))
}

// WriteSecret creates a Secret, or replaces its data.
func (e *Env) WriteSecret(name string, data map[string]string) {
	e.T.Helper()
	object := &corev1.Secret{ObjectMeta: e.Meta(name)}
	bytes := map[string][]byte{}
	for key, value := range data {
		bytes[key] = []byte(value)
	}
	e.Write(object, func() { object.Data = bytes })
}

// WriteConfigMap creates a ConfigMap, or replaces its data.
func (e *Env) WriteConfigMap(name string, data map[string]string) {
	e.T.Helper()
	object := &corev1.ConfigMap{ObjectMeta: e.Meta(name)}
	e.Write(object, func() { object.Data = data })
}

// WriteClientCertificate writes a certificate of a user to a Secret.
func (e *Env) WriteClientCertificate(name, user string) *certs.Certificate {
	e.T.Helper()
	certificate := e.Clients.IssueForTest(e.T, certs.Request{Usage: certs.Client, CommonName: user})
	e.WriteSecret(name, certificate.Data())
	return certificate
}

// EditSession edits a session as a user would.
func (e *Env) EditSession(name string, change func(*v1alpha1.CoderSession)) {
	e.T.Helper()
	s := &v1alpha1.CoderSession{ObjectMeta: e.Meta(name)}
	e.Write(s, func() { change(s) })
}

// EditDeployment edits a deployment as a user would.
func (e *Env) EditDeployment(name string, change func(*v1alpha1.CoderDeployment)) {
	e.T.Helper()
	d := &v1alpha1.CoderDeployment{ObjectMeta: e.Meta(name)}
	e.Write(d, func() { change(d) })
}

// GetSession reads a session.
func (e *Env) GetSession(ctx context.Context, name string) (*v1alpha1.CoderSession, error) {
	s := &v1alpha1.CoderSession{}
	return s, e.Get(ctx, name, s)
}

// GetDeployment reads a deployment.
func (e *Env) GetDeployment(ctx context.Context, name string) (*v1alpha1.CoderDeployment, error) {
	d := &v1alpha1.CoderDeployment{}
	return d, e.Get(ctx, name, d)
}

// GetSecret reads a Secret.
func (e *Env) GetSecret(ctx context.Context, name string) (*corev1.Secret, error) {
	s := &corev1.Secret{}
	return s, e.Get(ctx, name, s)
}

// CurrentSession is a session that must be there.
func (e *Env) CurrentSession(name string) *v1alpha1.CoderSession {
	e.T.Helper()
	s, err := e.GetSession(e.T.Context(), name)
	e.Must(err)
	return s
}

// CurrentSecret is a Secret that must be there.
func (e *Env) CurrentSecret(name string) *corev1.Secret {
	e.T.Helper()
	s, err := e.GetSecret(e.T.Context(), name)
	e.Must(err)
	return s
}
