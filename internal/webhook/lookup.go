// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Timeouts of one lookup (B93). All three objects together take less than the ten seconds that the
// API server waits for a webhook by default.
const (
	cacheTimeout  = 500 * time.Millisecond
	serverTimeout = 2500 * time.Millisecond
)

// lookUp reads the session that a pod asks for, its deployment, and whose the Secret is.
func (h *Handler) lookUp(ctx context.Context, key types.NamespacedName) (Resolved, error) {
	session := &v1alpha1.CoderSession{}
	found, err := h.getObject(ctx, key, session)
	if err != nil {
		return Resolved{}, fmt.Errorf("read CoderSession %s: %w", key, err)
	}
	if !found {
		return Resolved{}, nil
	}
	known := Resolved{Session: session}
	if session.Spec.PerPod == nil { // with perPod it has no Secret
		if known.Foreign, err = h.isForeign(ctx, session); err != nil {
			return known, err
		}
	}
	deployment := &v1alpha1.CoderDeployment{}
	found, err = h.getObject(ctx, session.DeploymentKey(), deployment)
	// A deployment that may not be read counts as missing. All other errors are temporary, and a
	// pod that is created meanwhile would lack its variables for ever.
	if err != nil && !apierrors.IsForbidden(err) {
		return known, fmt.Errorf("read CoderDeployment %s: %w", session.DeploymentKey(), err)
	}
	if found {
		known.Deployment = deployment
	}
	return known, nil
}

// isForeign reports whether the Secret with the name of the session's belongs to another owner. It
// reads metadata only, and asks the API server only if the cache cannot tell: a Secret that is not
// in the cache does not exist yet.
func (h *Handler) isForeign(ctx context.Context, session *v1alpha1.CoderSession) (bool, error) {
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	key := types.NamespacedName{Namespace: session.Namespace, Name: session.SecretName()}
	err := withTimeout(ctx, cacheTimeout, func(ctx context.Context) error { return h.cache.Get(ctx, key, secret) })
	if err != nil && !apierrors.IsNotFound(err) {
		err = withTimeout(ctx, serverTimeout, func(ctx context.Context) error { return h.server.Get(ctx, key, secret) })
	}
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read the metadata of Secret %s: %w", key, err)
	}
	return err == nil && !session.Controls(secret) && !(session.MayAdopt(secret) && session.HasMarked(secret)), nil
}

// getObject reads an object from the cache, and if that fails once from the API server. The cache
// may lack an object that was applied together with the pod or that belongs to another shard, and
// it is empty in a process that has just started.
func (h *Handler) getObject(ctx context.Context, key types.NamespacedName, into client.Object) (bool, error) {
	if withTimeout(ctx, cacheTimeout, func(ctx context.Context) error { return h.cache.Get(ctx, key, into) }) == nil {
		return true, nil
	}
	err := withTimeout(ctx, serverTimeout, func(ctx context.Context) error { return h.server.Get(ctx, key, into) })
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func withTimeout(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return do(ctx)
}
