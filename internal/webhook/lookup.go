// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Bounds of one lookup (B93). Both objects together take less than the ten seconds that the API server gives a webhook
// unless it is told otherwise.
const (
	cachePatience  = 500 * time.Millisecond
	serverPatience = 3 * time.Second
)

// lookUp finds what is known of the session that a pod asks for.
func (h *Handler) lookUp(ctx context.Context, key types.NamespacedName) (Resolved, error) {
	session := &v1alpha1.CoderSession{}
	found, err := h.get(ctx, key, session)
	if err != nil {
		return Resolved{}, fmt.Errorf("read CoderSession %s: %w", key, err)
	}
	if !found {
		return Resolved{}, nil
	}
	known := Resolved{Session: session}
	deployment := &v1alpha1.CoderDeployment{}
	found, err = h.get(ctx, session.DeploymentKey(), deployment)
	// One that may not be read is as good as none. Any other failure passes, and a pod that is created meanwhile would
	// lack its variables for good.
	if err != nil && !apierrors.IsForbidden(err) {
		return known, fmt.Errorf("read CoderDeployment %s: %w", session.DeploymentKey(), err)
	}
	if found {
		known.Deployment = deployment
	}
	return known, nil
}

// get reads an object from the cache and, whatever the cache lacks it for, once from the API server: an object that was
// applied together with the pod may not have reached the cache, one of another shard never does, and a process that has
// just started has none yet.
func (h *Handler) get(ctx context.Context, key types.NamespacedName, into client.Object) (bool, error) {
	if bounded(ctx, cachePatience, func(ctx context.Context) error { return h.cache.Get(ctx, key, into) }) == nil {
		return true, nil
	}
	err := bounded(ctx, serverPatience, func(ctx context.Context) error { return h.server.Get(ctx, key, into) })
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func bounded(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return do(ctx)
}
