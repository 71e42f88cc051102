// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"context"
	"fmt"
	"io"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Defaults of the options.
const (
	// DefaultLifetime is the lifetime of a certificate.
	DefaultLifetime = 90 * 24 * time.Hour
	// DefaultSettle is ample time for a watch event to reach all API servers.
	DefaultSettle = time.Minute
)

// Options configure the certificate.
type Options struct {
	// Name of the MutatingWebhookConfiguration. The Secret has the same name with "-cert" appended.
	// Required.
	Name string
	// Namespace of the Secret, which is the operator's own. Required.
	Namespace string
	// Hosts are the names or IP addresses under which the API server reaches the webhook. Required.
	Hosts []string
	// Clock and Random are the manager's. Required.
	Clock  clock.PassiveClock
	Random io.Reader
	// Lifetime of a certificate; zero: DefaultLifetime.
	Lifetime time.Duration
	// RenewBefore is how long before its expiration a certificate is renewed; zero: a third of the
	// lifetime.
	RenewBefore time.Duration
	// Settle is how long to wait until all API servers have noticed a new authority; zero:
	// DefaultSettle.
	Settle time.Duration
}

// SecretName is the name of the Secret with the certificate.
func (o Options) SecretName() string { return o.Name + "-cert" }

func (o Options) renewalPolicy() policy {
	p := policy{hosts: o.Hosts, lifetime: o.Lifetime, renewBefore: o.RenewBefore, settle: o.Settle}
	if p.lifetime == 0 {
		p.lifetime = DefaultLifetime
	}
	if p.renewBefore == 0 {
		p.renewBefore = p.lifetime / 3
	}
	if p.settle == 0 {
		p.settle = DefaultSettle
	}
	return p
}

// Setup adds a controller that renews the certificate, and a watch that delivers it, to a manager.
// It returns the source of the certificate for the webhook's server.
func Setup(ctx context.Context, mgr manager.Manager, o Options) (*Certificates, error) {
	objects, err := newCache(mgr, o)
	if err != nil {
		return nil, fmt.Errorf("make a cache for the webhook's certificate: %w", err)
	}
	certificates := &Certificates{clock: o.Clock}
	secrets, err := objects.GetInformer(ctx, &corev1.Secret{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch the webhook's certificate: %w", err)
	}
	deliver := func(object any) {
		if secret, ok := object.(*corev1.Secret); ok {
			certificates.updateFrom(secret)
		}
	}
	if _, err := secrets.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: deliver, UpdateFunc: func(_, object any) { deliver(object) },
	}); err != nil {
		return nil, fmt.Errorf("watch the webhook's certificate: %w", err)
	}
	if err := mgr.Add(nonLeaderRunnable{objects}); err != nil {
		return nil, err
	}
	return certificates, addRotator(mgr, objects, o)
}

// newCache returns a cache that has only the Secret and the configuration, by name, so that a role
// for these two is enough.
func newCache(mgr manager.Manager, o Options) (cache.Cache, error) {
	named := func(name string) fields.Selector { return fields.OneTermEqualSelector("metadata.name", name) }
	return cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient:                  mgr.GetHTTPClient(),
		Scheme:                      mgr.GetScheme(),
		Mapper:                      mgr.GetRESTMapper(),
		ReaderFailOnMissingInformer: true,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {
				Namespaces: map[string]cache.Config{o.Namespace: {}},
				Field:      named(o.SecretName()),
			},
			&admissionregistrationv1.MutatingWebhookConfiguration{}: {Field: named(o.Name)},
		},
	})
}

// nonLeaderRunnable runs on every replica, leader or not.
type nonLeaderRunnable struct{ manager.Runnable }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (nonLeaderRunnable) NeedLeaderElection() bool { return false }

// addRotator adds the rotator as a controller on every replica. It does not wait for the lease: in
// a rolling upgrade the new replicas have to be ready before the old leader stops, which may not
// have the webhook enabled.
func addRotator(mgr manager.Manager, objects cache.Cache, o Options) error {
	r := &rotator{
		reader: objects, writer: mgr.GetClient(), clock: o.Clock, random: o.Random, policy: o.renewalPolicy(),
		secret:  types.NamespacedName{Namespace: o.Namespace, Name: o.SecretName()},
		webhook: o.Name,
	}
	one := reconcile.Request{NamespacedName: r.secret}
	// The first pass must not wait for an event: the Secret may not exist yet.
	first := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(one)
		return nil
	})
	err := builder.ControllerManagedBy(mgr).
		Named("webhook-certificate").
		WithOptions(controller.Options{NeedLeaderElection: ptr.To(false)}).
		WatchesRawSource(first).
		WatchesRawSource(source.Kind(objects, &corev1.Secret{}, enqueueAlways[*corev1.Secret](one))).
		WatchesRawSource(source.Kind(objects, &admissionregistrationv1.MutatingWebhookConfiguration{},
			enqueueAlways[*admissionregistrationv1.MutatingWebhookConfiguration](one))).
		Complete(r)
	if err != nil {
		return fmt.Errorf("add the controller of the webhook's certificate: %w", err)
	}
	return nil
}

// enqueueAlways maps each event to the same request.
func enqueueAlways[O client.Object](one reconcile.Request) handler.TypedEventHandler[O, reconcile.Request] {
	return handler.TypedEnqueueRequestsFromMapFunc(
		func(context.Context, O) []reconcile.Request { return []reconcile.Request{one} })
}
