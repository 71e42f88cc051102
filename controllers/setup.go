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

// FieldOwner is the name under which the operator writes.
const FieldOwner = "coder-session-operator"

// Clock is what the controllers need of a clock.
type Clock interface {
	clock.WithTicker
	clock.WithDelayedExecution
}

// Options are what the controllers are built with. All fields but NamespaceLabels,
// Namespaces and RedirectURIs are needed.
type Options struct {
	// Key of all fingerprints.
	Key fingerprint.Key
	// Cluster id that the names of tokens carry.
	Cluster string
	Clock   Clock
	Jitter  Jitter
	Metrics *metrics.Metrics
	// Roots returns the certificates that are trusted besides a CA bundle.
	Roots func() (*x509.CertPool, error)
	// UserAgent of requests to Coder.
	UserAgent string
	// RevocationTimeout bounds how long a deleted session waits for its server.
	RevocationTimeout time.Duration
	// OrphanGrace is how old a token that no session claims must be before it is
	// revoked; zero: at once.
	OrphanGrace time.Duration
	// MaxConcurrent is how many deployments, and how many sessions of one deployment,
	// are worked on at a time.
	MaxConcurrent int
	// RedirectURIs are where the OAuth callback is reached; the first one is that of
	// requests for consent. None: no callback is served, and no session can have a grant.
	RedirectURIs []string
	// Instance names this process among others, where it notes that it is about to do
	// something that may be done once.
	Instance string
	// Random is where states and verifiers of OAuth come from.
	Random io.Reader
	// NamespaceLabels says that the labels of namespaces can be read.
	NamespaceLabels bool
	// Namespaces are those that the cache is limited to, see CacheOptions. None: all.
	Namespaces []string
}

// Setup adds both controllers to a manager. Data goes one way through them: see
// the package's documentation.
//
// It returns the connections, for whoever else has to reach the deployments.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) (*connection.Pool, error) {
	if err := addIndexes(ctx, mgr.GetFieldIndexer(), inventory.Names{Cluster: o.Cluster}); err != nil {
		return nil, err
	}
	c := assemble(ctx, api{client: within{mgr.GetClient(), o.Namespaces}, contents: mgr.GetAPIReader(), recorder: mgr.GetEventRecorder(FieldOwner)}, o)
	if err := c.deployments.watch(mgr, c.deploymentQueue, o.MaxConcurrent); err != nil {
		return nil, err
	}
	return c.sessions.pool, c.sessions.watch(mgr, c.sessionQueue, sessionWorkers(o.MaxConcurrent))
}

// sessionWorkers are as many as leave each deployment its share, see turns.
func sessionWorkers(concurrent int) int { return 2 * concurrent }

// controllerOptions let a replica that is not the leader fill its caches, so that it
// is ready to take over at once.
func controllerOptions(concurrent int) controller.Options {
	return controller.Options{MaxConcurrentReconciles: concurrent, EnableWarmup: ptr.To(true)}
}

// api is the way to the API server.
type api struct {
	client   client.Client // reads from caches
	contents client.Reader // reads directly
	recorder status.Recorder
}

// assembly is both reconcilers with what connects them.
type assembly struct {
	deployments     *DeploymentReconciler
	sessions        *SessionReconciler
	deploymentQueue *queue
	sessionQueue    *queue
}

// assemble connects the parts: settings and supplied tokens settle, then wake
// their controller; deployments wake their sessions.
func assemble(ctx context.Context, a api, o Options) assembly {
	names := inventory.Names{Cluster: o.Cluster}
	deployments, sessions := &queue{}, &queue{}
	settings := debounce.New(o.Clock, func(key types.NamespacedName) { deployments.add(key, 0) })
	tokens := debounce.New(o.Clock, func(key types.NamespacedName) { sessions.add(key, 0) })
	retention := newRetentionDecisions()
	streams := stream.NewSet(ctx, stream.Options{
		Clock:  o.Clock,
		Jitter: func() float64 { return o.Jitter(time.Second).Seconds() },
		Notify: sessions.wakeHolders,
	})
	writer := status.NewWriter(a.client, a.recorder, o.Clock)
	pool := connection.NewPool(connection.Options{
		Resolver:   authconfig.NewResolver(a.contents, a.client, o.Key, o.Roots),
		Deployment: deploymentFrom(a.client),
		Settling:   settings.Settling,
		Clock:      o.Clock,
		Names:      names,
		UserAgent:  o.UserAgent,
		Observe: func(key types.NamespacedName, call coder.Call) {
			o.Metrics.Requested(key.Namespace, key.Name, call.Operation, outcome(call.Kind), call.Duration)
		},
		Retried: func(key types.NamespacedName) { o.Metrics.SilentRetry(key.Namespace, key.Name) },
	})
	return assembly{
		deploymentQueue: deployments,
		sessionQueue:    sessions,
		deployments: &DeploymentReconciler{
			client: a.client, apiReader: a.contents, pool: pool, debouncer: settings, status: writer, metrics: o.Metrics, names: names,
			clock: o.Clock, jitter: o.Jitter, sessions: sessions, streams: streams, retention: retention, orphanGrace: o.OrphanGrace,
			memory: map[types.NamespacedName]*deploymentMemory{},
		},
		sessions: &SessionReconciler{
			client: a.client, apiReader: a.contents, namespacesLabels: o.NamespaceLabels, pool: pool, debouncer: tokens,
			secrets: secret.NewStore(a.contents, a.client, o.Key), key: o.Key,
			grants: grant.NewStore(a.contents, a.client), redirectURIs: o.RedirectURIs, random: o.Random, instance: o.Instance,
			streams: streams, workloads: workload.NewStore(a.contents, a.client), rollouts: newRollouts(), retention: retention, names: names, status: writer, metrics: o.Metrics,
			clock: o.Clock, jitter: o.Jitter, deployments: deployments, revocationTimeout: o.RevocationTimeout,
			fairQueue: newFairQueue(sessionWorkers(o.MaxConcurrent), func(key types.NamespacedName) { sessions.add(key, 0) }),
			memory:    map[types.NamespacedName]*sessionMemory{},
		},
	}
}

func deploymentFrom(reader client.Reader) func(context.Context, types.NamespacedName) (*v1alpha1.CoderDeployment, error) {
	return func(ctx context.Context, key types.NamespacedName) (*v1alpha1.CoderDeployment, error) {
		d := &v1alpha1.CoderDeployment{}
		return d, reader.Get(ctx, key, d)
	}
}

func outcome(kind coder.Kind) string {
	if kind == "" {
		return "ok"
	}
	return string(kind)
}
