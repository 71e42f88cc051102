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
	// DefaultLifetime of a certificate.
	DefaultLifetime = 90 * 24 * time.Hour
	// DefaultSettle is generous for a watch event that all API servers get.
	DefaultSettle = time.Minute
)

// Options are what the certificate is kept with.
type Options struct {
	// Name of the MutatingWebhookConfiguration; with "-cert" appended that of the Secret. Needed.
	Name string
	// Namespace of the Secret, the operator's own. Needed.
	Namespace string
	// Hosts are the names or IP addresses under which the API server reaches the webhook. Needed.
	Hosts []string
	// Clock and Random are the manager's. Needed.
	Clock  clock.PassiveClock
	Random io.Reader
	// Lifetime of a certificate; zero: DefaultLifetime.
	Lifetime time.Duration
	// RenewBefore is how long before its end a certificate is renewed; zero: a third of the lifetime.
	RenewBefore time.Duration
	// Settle is how long API servers have to notice that they are to trust another authority; zero: DefaultSettle.
	Settle time.Duration
}

// SecretName is that of the Secret in which the certificate is kept.
func (o Options) SecretName() string { return o.Name + "-cert" }

func (o Options) policy() policy {
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

// Setup adds to a manager what makes, renews and delivers the certificate. It returns from where the webhook's server takes
// it.
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
			certificates.deliver(secret)
		}
	}
	if _, err := secrets.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: deliver, UpdateFunc: func(_, object any) { deliver(object) },
	}); err != nil {
		return nil, fmt.Errorf("watch the webhook's certificate: %w", err)
	}
	if err := mgr.Add(everywhere{objects}); err != nil {
		return nil, err
	}
	return certificates, addRotator(mgr, objects, o)
}

// newCache holds the Secret and the configuration, by name, so that rights on these two suffice.
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

// everywhere runs on every replica, leader or not.
type everywhere struct{ manager.Runnable }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (everywhere) NeedLeaderElection() bool { return false }

// addRotator adds the rotator as a controller of every replica's. It does not wait for the lease: in a rolling upgrade the
// new replicas have to be ready before the old leader goes, and that one may know nothing of the webhook.
func addRotator(mgr manager.Manager, objects cache.Cache, o Options) error {
	r := &rotator{
		reader: objects, writer: mgr.GetClient(), clock: o.Clock, random: o.Random, policy: o.policy(),
		secret:  types.NamespacedName{Namespace: o.Namespace, Name: o.SecretName()},
		webhook: o.Name,
	}
	one := reconcile.Request{NamespacedName: r.secret}
	// The first pass is for a Secret that does not exist.
	first := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(one)
		return nil
	})
	err := builder.ControllerManagedBy(mgr).
		Named("webhook-certificate").
		WithOptions(controller.Options{NeedLeaderElection: ptr.To(false)}).
		WatchesRawSource(first).
		WatchesRawSource(source.Kind(objects, &corev1.Secret{}, all[*corev1.Secret](one))).
		WatchesRawSource(source.Kind(objects, &admissionregistrationv1.MutatingWebhookConfiguration{},
			all[*admissionregistrationv1.MutatingWebhookConfiguration](one))).
		Complete(r)
	if err != nil {
		return fmt.Errorf("add the controller of the webhook's certificate: %w", err)
	}
	return nil
}

// all maps each event to the one request that there is.
func all[O client.Object](one reconcile.Request) handler.TypedEventHandler[O, reconcile.Request] {
	return handler.TypedEnqueueRequestsFromMapFunc(func(context.Context, O) []reconcile.Request { return []reconcile.Request{one} })
}
