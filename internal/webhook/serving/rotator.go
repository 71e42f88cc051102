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
	// callTimeout bounds one pass (B93).
	callTimeout = 30 * time.Second
	// again is when a pass that lost a race is repeated, unless an event comes first.
	again = time.Second
	// longest is the longest sleep: a timer does not notice a clock that is set.
	longest = 12 * time.Hour
)

// rotator keeps Secret and bundle as the policy wants them. One pass runs at a time.
type rotator struct {
	reader  client.Reader // the cache of these two objects
	writer  client.Writer
	clock   clock.PassiveClock
	random  io.Reader
	policy  policy
	secret  types.NamespacedName
	webhook string

	// published is the bundle that the configuration was last seen with, or had written, since when.
	published []byte
	since     time.Time
}

// Reconcile implements reconcile.Reconciler. Errors are those of the API server and of random; a lost race is none.
func (r *rotator) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	wait, err := r.pass(ctx)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	// Zero would mean never.
	return reconcile.Result{RequeueAfter: min(max(wait, time.Millisecond), longest)}, nil
}

// pass takes at most one step, publishes the bundle, and returns when to look again.
func (r *rotator) pass(ctx context.Context) (time.Duration, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.secret.Namespace, Name: r.secret.Name}}
	if err := client.IgnoreNotFound(r.reader.Get(ctx, r.secret, secret)); err != nil {
		return 0, fmt.Errorf("read Secret %s: %w", r.secret, err)
	}
	if !ours(secret) {
		return 0, fmt.Errorf("use Secret %s: it holds something of somebody else's: delete it, or choose another --webhook-name", r.secret)
	}
	now := r.clock.Now()
	held := stateOf(secret)
	next, _ := r.policy.decide(held, now, r.trustedFor(held, now))
	held, err := r.carryOut(next, held, now)
	if err != nil {
		return 0, err
	}
	if err := r.write(ctx, secret, held, next); err != nil {
		return 0, err
	}
	if err := r.publish(ctx, held.trusted.pem()); err != nil {
		return 0, err
	}
	_, wait := r.policy.decide(held, now, r.trustedFor(held, now))
	return wait, nil
}

// trustedFor is how long the configuration has been known to have the state's bundle.
func (r *rotator) trustedFor(s state, now time.Time) time.Duration {
	if r.published == nil || !bytes.Equal(r.published, s.trusted.pem()) {
		return -1
	}
	return now.Sub(r.since)
}

// carryOut returns the state after a step.
func (r *rotator) carryOut(next step, s state, now time.Time) (state, error) {
	switch next {
	case promote:
		return state{current: s.next, trusted: s.trusted}, nil
	case start, stage:
		made, authority, err := issue(r.random, r.policy.hosts, now, r.policy.lifetime)
		if err != nil {
			return s, err
		}
		s.trusted = s.trusted.with(authority, now)
		if next == start {
			return state{current: made, trusted: s.trusted}, nil
		}
		s.next = made
	case keep:
	}
	return s, nil
}

// write stores the state, on the condition that the Secret is still what was read (B30).
func (r *rotator) write(ctx context.Context, secret *corev1.Secret, s state, next step) error {
	if !s.apply(secret) {
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
	logf.FromContext(ctx).Info("the webhook's certificate was changed", "step", string(next), "notAfter", s.current.leaf().NotAfter)
	return nil
}

// publish tells the API server whom to trust: the bundle in each webhook of the configuration, and nothing else of it.
func (r *rotator) publish(ctx context.Context, trusted []byte) error {
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{}
	err := r.reader.Get(ctx, types.NamespacedName{Name: r.webhook}, configuration)
	if apierrors.IsNotFound(err) {
		// Its creation is an event.
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
		// Two operators that wrote into one configuration would do so for ever.
		if service := settings.Service; service != nil && service.Namespace != r.secret.Namespace {
			return fmt.Errorf("use MutatingWebhookConfiguration %s: its webhook %s leads to namespace %s, and not to this operator's: "+
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
