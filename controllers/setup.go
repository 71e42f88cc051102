// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/x509"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/debounce"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/internal/workload"
)

// FieldOwner is the field manager name and event reporter of the operator.
const FieldOwner = "coder-session-operator"

// Clock is what the controllers need of a clock.
type Clock interface {
	clock.WithTicker
	clock.WithDelayedExecution
}

// Options configure the controllers. All fields but NamespaceLabels, Namespaces and
// RedirectURIs are required.
type Options struct {
	// Key is the HMAC key of all fingerprints.
	Key fingerprint.Key
	// Cluster is the id of this cluster, which is part of the names of minted tokens.
	Cluster string
	Clock   Clock
	Jitter  Jitter
	Metrics *metrics.Metrics
	// Roots returns the root certificates that are trusted in addition to a CA bundle.
	Roots func() (*x509.CertPool, error)
	// UserAgent is the User-Agent header of requests to Coder.
	UserAgent string
	// RevocationTimeout is how long a deleted session waits until its tokens are revoked
	// before its finalizer is removed anyway.
	RevocationTimeout time.Duration
	// OrphanGrace is the minimum age at which a token that belongs to no session is
	// revoked. Zero revokes it as soon as it is found.
	OrphanGrace time.Duration
	// MaxConcurrent is the maximum number of deployments, and of sessions of one
	// deployment, that are reconciled at the same time.
	MaxConcurrent int
	// RedirectURIs are the URLs of the OAuth callback; authorization requests use the first
	// one. If empty, no callback is served and no session can obtain a grant.
	RedirectURIs []string
	// Instance identifies this process. It is recorded before an operation that must not
	// be carried out twice.
	Instance string
	// Random is the source of OAuth states and PKCE verifiers.
	Random io.Reader
	// NamespaceLabels reports whether the operator is allowed to read labels of namespaces.
	NamespaceLabels bool
	// Namespaces are the namespaces that the cache is limited to, see CacheOptions. If
	// empty, all namespaces are watched.
	Namespaces []string
}

// Setup adds both controllers to a manager. See the package documentation for how they
// depend on each other.
//
// It returns the pool of connections, for other components that call the deployments.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) (*connection.Pool, error) {
	if err := addIndexes(ctx, mgr.GetFieldIndexer(), inventory.Names{Cluster: o.Cluster}); err != nil {
		return nil, err
	}
	c := newReconcilers(ctx, apiAccess{
		client:    restrictedClient{mgr.GetClient(), o.Namespaces},
		apiReader: mgr.GetAPIReader(),
		recorder:  mgr.GetEventRecorder(FieldOwner),
	}, o)
	if err := c.deployments.watch(mgr, c.deploymentQueue, o.MaxConcurrent); err != nil {
		return nil, err
	}
	return c.sessions.pool, c.sessions.watch(mgr, c.sessionQueue, sessionWorkers(o.MaxConcurrent))
}

// sessionWorkers returns the number of workers of the session controller. A single
// deployment gets half of them, see fairQueue.
func sessionWorkers(concurrent int) int { return 2 * concurrent }

// controllerOptions enables warm-up: a replica that is not the leader fills its caches,
// so that it can take over without delay.
func controllerOptions(concurrent int) controller.Options {
	return controller.Options{MaxConcurrentReconciles: concurrent, EnableWarmup: ptr.To(true)}
}

// apiAccess groups the clients of the API server.
type apiAccess struct {
	client    client.Client // reads from caches
	apiReader client.Reader // reads from the API server
	recorder  status.Recorder
}

// reconcilers groups both reconcilers and their queues.
type reconcilers struct {
	deployments     *DeploymentReconciler
	sessions        *SessionReconciler
	deploymentQueue *queue
	sessionQueue    *queue
}

// newReconcilers builds both reconcilers and connects them: changes of settings and of
// supplied tokens are debounced and then enqueue the object they belong to; a deployment
// enqueues its sessions.
func newReconcilers(ctx context.Context, a apiAccess, o Options) reconcilers {
	names := inventory.Names{Cluster: o.Cluster}
	deployments, sessions := &queue{}, &queue{}
	settings := debounce.New(o.Clock, func(key types.NamespacedName) { deployments.add(key, 0) })
	tokens := debounce.New(o.Clock, func(key types.NamespacedName) { sessions.add(key, 0) })
	retention := newRetentionDecisions()
	streams := stream.NewSet(ctx, stream.Options{
		Clock:  o.Clock,
		Jitter: func() float64 { return o.Jitter(time.Second).Seconds() },
		Notify: sessions.enqueueHolders,
	})
	writer := status.NewWriter(a.client, a.recorder, o.Clock)
	pool := connection.NewPool(connection.Options{
		Resolver:   authconfig.NewResolver(a.apiReader, a.client, o.Key, o.Roots),
		Deployment: deploymentGetter(a.client),
		Settling:   settings.Settling,
		Clock:      o.Clock,
		Names:      names,
		UserAgent:  o.UserAgent,
		Observe: func(key types.NamespacedName, call coder.Call) {
			o.Metrics.Requested(key.Namespace, key.Name, call.Operation, outcomeLabel(call.Kind), call.Duration)
		},
		Retried: func(key types.NamespacedName) { o.Metrics.SilentRetry(key.Namespace, key.Name) },
	})
	return reconcilers{
		deploymentQueue: deployments,
		sessionQueue:    sessions,
		deployments: &DeploymentReconciler{
			client: a.client, apiReader: a.apiReader, pool: pool, debouncer: settings, status: writer,
			metrics: o.Metrics, names: names, clock: o.Clock, jitter: o.Jitter, sessions: sessions,
			streams: streams, retention: retention, orphanGrace: o.OrphanGrace,
			memory: map[types.NamespacedName]*deploymentMemory{},
		},
		sessions: &SessionReconciler{
			client: a.client, apiReader: a.apiReader, readsNamespaceLabels: o.NamespaceLabels, pool: pool, debouncer: tokens,
			secrets: secret.NewStore(a.apiReader, a.client, o.Key), key: o.Key,
			grants: grant.NewStore(a.apiReader, a.client), redirectURIs: o.RedirectURIs, random: o.Random, instance: o.Instance,
			streams: streams, workloads: workload.NewStore(a.apiReader, a.client), rollouts: newRollouts(),
			retention: retention, names: names, status: writer, metrics: o.Metrics,
			clock: o.Clock, jitter: o.Jitter, deployments: deployments, revocationTimeout: o.RevocationTimeout,
			fairQueue: newFairQueue(sessionWorkers(o.MaxConcurrent), func(key types.NamespacedName) { sessions.add(key, 0) }),
			memory:    map[types.NamespacedName]*sessionMemory{},
		},
	}
}

type getDeployment = func(context.Context, types.NamespacedName) (*v1alpha1.CoderDeployment, error)

func deploymentGetter(reader client.Reader) getDeployment {
	return func(ctx context.Context, key types.NamespacedName) (*v1alpha1.CoderDeployment, error) {
		d := &v1alpha1.CoderDeployment{}
		return d, reader.Get(ctx, key, d)
	}
}

// outcomeLabel is the value of the metric label for the outcome of a request.
func outcomeLabel(kind coder.Kind) string {
	if kind == "" {
		return "ok"
	}
	return string(kind)
}
