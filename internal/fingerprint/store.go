// SPDX-License-Identifier: Apache-2.0

package fingerprint

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// SecretName is the default name of the Secret with the key, in the operator's namespace.
	SecretName = "coder-session-operator-fingerprint"
	// SecretKey is the key in the data of that Secret.
	SecretKey = "fingerprint-key"
)

// Store is the part of a client that [LoadOrCreate] uses. It must not read from a cache: contents
// of Secrets are never cached, and a cache that lags behind would not show what another replica has
// just created.
type Store interface {
	// Get reads the Secret into obj. The error satisfies apierrors.IsNotFound if there is none.
	Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error
	// Create creates a Secret. The error satisfies apierrors.IsAlreadyExists if there is one of that
	// name.
	Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error
}

// LoadOrCreate returns the key in the Secret of that name. If the Secret does not exist, it creates
// it with [KeySize] bytes of random. If another replica has created it at the same time, it uses
// that one.
//
// It fails if the Secret exists without a usable key. The Secret is not overwritten, because it may
// belong to another application. Other errors are those of the API server and of random.
func LoadOrCreate(ctx context.Context, c Store, namespace, name string, random io.Reader) (Key, error) {
	key, err := loadKey(ctx, c, namespace, name)
	if !apierrors.IsNotFound(err) {
		return key, err
	}
	key, err = createKey(ctx, c, namespace, name, random)
	if !apierrors.IsAlreadyExists(err) {
		return key, err
	}
	return loadKey(ctx, c, namespace, name)
}

func loadKey(ctx context.Context, c Store, namespace, name string) (Key, error) {
	var secret corev1.Secret
	if err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &secret); err != nil {
		return Key{}, fmt.Errorf("read the fingerprint key from Secret %s/%s: %w", namespace, name, err)
	}
	raw, ok := secret.Data[SecretKey]
	if !ok {
		return Key{}, fmt.Errorf("use Secret %s/%s: key %q is missing: delete the Secret, and the operator creates it again",
			namespace, name, SecretKey)
	}
	key, err := NewKey(raw)
	if err != nil {
		return Key{}, fmt.Errorf("use Secret %s/%s: key %q: %w: delete the Secret, and the operator creates it again",
			namespace, name, SecretKey, err)
	}
	return key, nil
}

func createKey(ctx context.Context, c Store, namespace, name string, random io.Reader) (Key, error) {
	raw := make([]byte, KeySize)
	if _, err := io.ReadFull(random, raw); err != nil {
		return Key{}, fmt.Errorf("make a fingerprint key: %w", err)
	}
	// Immutable: another key changes every fingerprint, which causes all deployments to be verified
	// again.
	immutable := true
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      name,
			Labels:    map[string]string{"app.kubernetes.io/managed-by": "coder-session-operator"},
		},
		Type:      corev1.SecretTypeOpaque,
		Immutable: &immutable,
		Data:      map[string][]byte{SecretKey: raw},
	}
	if err := c.Create(ctx, secret); err != nil {
		return Key{}, fmt.Errorf("create Secret %s/%s for the fingerprint key: %w", namespace, name, err)
	}
	return NewKey(raw)
}
