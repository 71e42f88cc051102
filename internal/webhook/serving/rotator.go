// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// callTimeout is the timeout of one pass (B93).
	callTimeout = 30 * time.Second
	// conflictRetryDelay is when a pass that failed on a conflict is repeated, unless an event
	// comes first.
	conflictRetryDelay = time.Second
	// maxWait is the longest time between two passes, because timers do not notice changes of the
	// wall clock.
	maxWait = 12 * time.Hour
)

// rotator renews the certificate in the Secret and publishes the bundle, as the policy says. Only
// one pass runs at a time.
type rotator struct {
	reader  client.Reader // the cache of these two objects
	writer  client.Writer
	clock   clock.PassiveClock
	random  io.Reader
	policy  policy
	secret  types.NamespacedName
	webhook string

	// published is the bundle that the configuration had when it was last read or written, since
	// the time from which it is known to have it.
	published []byte
	since     time.Time
}

// Reconcile implements reconcile.Reconciler. It returns errors of the API server and of random.
// Conflicts are retried, and are no errors.
func (r *rotator) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	wait, err := r.reconcileOnce(ctx)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return reconcile.Result{RequeueAfter: conflictRetryDelay}, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	// Zero would mean never.
	return reconcile.Result{RequeueAfter: min(max(wait, time.Millisecond), maxWait)}, nil
}

// reconcileOnce takes at most one step, publishes the bundle, and returns when the next pass is
// due.
func (r *rotator) reconcileOnce(ctx context.Context) (time.Duration, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.secret.Namespace, Name: r.secret.Name}}
	if err := client.IgnoreNotFound(r.reader.Get(ctx, r.secret, secret)); err != nil {
		return 0, fmt.Errorf("read Secret %s: %w", r.secret, err)
	}
	if !isOwned(secret) {
		return 0, fmt.Errorf("use Secret %s: it belongs to another owner: delete it, or choose another --webhook-name",
			r.secret)
	}
	now := r.clock.Now()
	held := readState(secret)
	next, _ := r.policy.nextStep(held, now, r.trustedFor(held, now))
	held, err := r.applyStep(next, held, now)
	if err != nil {
		return 0, err
	}
	if err := r.writeSecret(ctx, secret, held, next); err != nil {
		return 0, err
	}
	if err := r.publishBundle(ctx, held.trusted.encodePEM()); err != nil {
		return 0, err
	}
	_, wait := r.policy.nextStep(held, now, r.trustedFor(held, now))
	return wait, nil
}

// trustedFor is how long the configuration is known to have the state's bundle; negative: it does
// not have it.
func (r *rotator) trustedFor(s state, now time.Time) time.Duration {
	if r.published == nil || !bytes.Equal(r.published, s.trusted.encodePEM()) {
		return -1
	}
	return now.Sub(r.since)
}

// applyStep returns the state after a step.
func (r *rotator) applyStep(next step, s state, now time.Time) (state, error) {
	switch next {
	case promote:
		return state{current: s.next, trusted: s.trusted}, nil
	case start, stage:
		made, authority, err := issueCertificate(r.random, r.policy.hosts, now, r.policy.lifetime)
		if err != nil {
			return s, err
		}
		s.trusted = s.trusted.withAuthority(authority, now)
		if next == start {
			return state{current: made, trusted: s.trusted}, nil
		}
		s.next = made
	case keep:
	}
	return s, nil
}

// writeSecret writes the state, on the condition that the Secret has not changed since it was read
// (B30).
func (r *rotator) writeSecret(ctx context.Context, secret *corev1.Secret, s state, next step) error {
	if !s.applyTo(secret) {
		return nil
	}
	if secret.ResourceVersion == "" {
		secret.Type = corev1.SecretTypeOpaque
		if err := r.writer.Create(ctx, secret); err != nil {
			return fmt.Errorf("create Secret %s: %w", r.secret, err)
		}
	} else if err := r.writer.Update(ctx, secret); err != nil {
		return fmt.Errorf("update Secret %s: %w", r.secret, err)
	}
	logf.FromContext(ctx).Info("the webhook's certificate was changed", "step", string(next), "notAfter",
		s.current.leaf().NotAfter)
	return nil
}

// publishBundle writes the bundle into each webhook of the configuration, and changes nothing else.
func (r *rotator) publishBundle(ctx context.Context, trusted []byte) error {
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{}
	err := r.reader.Get(ctx, types.NamespacedName{Name: r.webhook}, configuration)
	if apierrors.IsNotFound(err) {
		// Creating it triggers another pass.
		logf.FromContext(ctx).Info("there is no MutatingWebhookConfiguration to publish the webhook's certificate in: "+
			"pods are not injected until it is created", "name", r.webhook)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read MutatingWebhookConfiguration %s: %w", r.webhook, err)
	}
	before := configuration.DeepCopy()
	changed := false
	for i := range configuration.Webhooks {
		settings := &configuration.Webhooks[i].ClientConfig
		// Two operators would overwrite each other's bundle for ever.
		if service := settings.Service; service != nil && service.Namespace != r.secret.Namespace {
			return fmt.Errorf("use MutatingWebhookConfiguration %s: its webhook %s leads to namespace %s, and not to "+
				"this operator's: "+
				"choose another --webhook-name", r.webhook, configuration.Webhooks[i].Name, service.Namespace)
		}
		if !bytes.Equal(settings.CABundle, trusted) {
			settings.CABundle, changed = trusted, true
		}
	}
	if changed {
		patch := client.StrategicMergeFrom(before, client.MergeFromWithOptimisticLock{})
		if err := r.writer.Patch(ctx, configuration, patch); err != nil {
			return fmt.Errorf("patch MutatingWebhookConfiguration %s: %w", r.webhook, err)
		}
	}
	if changed || !bytes.Equal(r.published, trusted) {
		r.published, r.since = trusted, r.clock.Now()
	}
	return nil
}
