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
	// SecretName is the usual name of the Secret that holds the key, in the operator's own namespace.
	SecretName = "coder-session-operator-fingerprint"
	// SecretKey is the key's place in the data of that Secret.
	SecretKey = "fingerprint-key"
)

// Store is what [LoadOrCreate] needs of a client. Its reads must not come from a cache: contents of Secrets are never
// cached, and a cache that lags would not show what another replica has just created.
type Store interface {
	// Get reads the Secret with the key into obj. Its error satisfies apierrors.IsNotFound where there is none.
	Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error
	// Create writes a new Secret. Its error satisfies apierrors.IsAlreadyExists where one of that name is there.
	Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error
}

// LoadOrCreate returns the key that the Secret of that name holds. It creates the Secret when it is absent, from
// [KeySize] bytes of random, and takes the other's key when a replica that starts at the same moment was faster.
//
// It fails when the Secret is there without a usable key, naming the Secret and the key: it is not overwritten, because
// somebody else may own it. Other errors are those of the API server and of random.
func LoadOrCreate(ctx context.Context, c Store, namespace, name string, random io.Reader) (Key, error) {
	key, err := load(ctx, c, namespace, name)
	if !apierrors.IsNotFound(err) {
		return key, err
	}
	key, err = create(ctx, c, namespace, name, random)
	if !apierrors.IsAlreadyExists(err) {
		return key, err
	}
	return load(ctx, c, namespace, name)
}

func load(ctx context.Context, c Store, namespace, name string) (Key, error) {
	var secret corev1.Secret
	if err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &secret); err != nil {
		return Key{}, fmt.Errorf("read the fingerprint key from Secret %s/%s: %w", namespace, name, err)
	}
	raw, ok := secret.Data[SecretKey]
	if !ok {
		return Key{}, fmt.Errorf("use Secret %s/%s: key %q is missing: delete the Secret, and the operator creates it anew",
			namespace, name, SecretKey)
	}
	key, err := NewKey(raw)
	if err != nil {
		return Key{}, fmt.Errorf("use Secret %s/%s: key %q: %w: delete the Secret, and the operator creates it anew",
			namespace, name, SecretKey, err)
	}
	return key, nil
}

func create(ctx context.Context, c Store, namespace, name string, random io.Reader) (Key, error) {
	raw := make([]byte, KeySize)
	if _, err := io.ReadFull(random, raw); err != nil {
		return Key{}, fmt.Errorf("make a fingerprint key: %w", err)
	}
	// Immutable: with another key every fingerprint changes, and all deployments are verified anew.
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
