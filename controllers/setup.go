// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/x509"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/deployment"
	"github.com/coder-session-operator/coder-session-operator/controllers/fairqueue"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/pod"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/controllers/retention"
	"github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/controllers/session/certificate"
	"github.com/coder-session-operator/coder-session-operator/controllers/session/mint"
	"github.com/coder-session-operator/coder-session-operator/controllers/session/oauth"
	"github.com/coder-session-operator/coder-session-operator/controllers/session/supplied"
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

// Options configure the controllers. All fields but NamespaceLabels, AdmissionKinds, Namespaces,
// RedirectURIs and NewStreams are required.
type Options struct {
	// Key is the HMAC key of all fingerprints.
	Key fingerprint.Key
	// Cluster is the id of this cluster, which is part of the names of minted tokens.
	Cluster string
	Clock   Clock
	Jitter  reconcile.Jitter
	Metrics *metrics.Metrics
	// Roots returns the root certificates that are trusted in addition to a CA bundle.
	Roots func() (*x509.CertPool, error)
	// UserAgent is the User-Agent header of requests to Coder.
	UserAgent string
	// Addresses decides which addresses are connected to. Nil denies link-local and metadata addresses.
	Addresses *coder.Addresses
	// RevocationTimeout is how long a deleted session waits until its tokens are revoked
	// before its finalizer is removed anyway.
	RevocationTimeout time.Duration
	// OrphanGrace is the minimum age at which a token that belongs to no session is
	// revoked. Zero revokes it as soon as it is found.
	OrphanGrace time.Duration
	// MaxConcurrent is the maximum number of deployments of a namespace, and of its sessions of one
	// deployment, that are reconciled at the same time. Those that wait for a server that does not
	// answer are not counted.
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
	// AdmissionKinds are the kinds of objects that configure the API server's admission, if the operator is
	// allowed to list and watch them and ResourceQuotas. Nil: the write of each Secret is tried before a
	// token is minted for a session without one.
	AdmissionKinds []schema.GroupVersionKind
	// Namespaces are the namespaces that the cache is limited to, see CacheOptions. If
	// empty, all namespaces are watched.
	Namespaces []string
	// ServesPods enables perPod: the operator watches pods and creates sessions for them.
	ServesPods bool
	// Selector limits the sessions that this operator looks after; nil or empty: all.
	Selector labels.Selector
	// NewStreams replaces stream.NewSet. It is for tests.
	NewStreams func(context.Context, stream.Options) Streams
}

// Streams are the streams of workspaces of both controllers, see [stream.Set].
type Streams interface {
	session.Streams
	deployment.Streams
	// States counts the streams by their state.
	States() map[stream.State]int
}

// Setup adds both controllers to a manager, and health checks that fail when one of them has stalled.
// See the package documentation for how they depend on each other.
//
// It returns the pool of connections, for other components that call the deployments.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) (*connection.Pool, error) {
	if err := lookup.AddIndexes(ctx, mgr.GetFieldIndexer(), inventory.Names{Cluster: o.Cluster}); err != nil {
		return nil, err
	}
	c := New(ctx, APIAccess{
		Client:    restrictedClient{mgr.GetClient(), o.Namespaces},
		APIReader: mgr.GetAPIReader(),
		Recorder:  mgr.GetEventRecorder(FieldOwner),
	}, o)
	all := []reconcile.Controller{
		{
			Name: "coderdeployment", Reconciler: c.Deployments, Queue: c.DeploymentQueue,
			Watches: c.Deployments.Watches(), Workers: fairqueue.Passes(deploymentWorkers(o.MaxConcurrent)),
		},
		{
			Name: "codersession", Reconciler: c.Sessions, Queue: c.SessionQueue,
			Watches: c.Sessions.Watches(), Workers: fairqueue.Passes(sessionWorkers(o.MaxConcurrent)),
		},
	}
	if o.ServesPods {
		if err := lookup.AddPodIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
			return nil, err
		}
		all = append(all, reconcile.Controller{
			Name: "pod", Reconciler: c.Pods, Queue: c.PodQueue, Watches: c.Pods.Watches(),
			Workers: podWorkers(o.MaxConcurrent),
		})
	}
	for _, controller := range all {
		if err := controller.AddTo(mgr); err != nil {
			return nil, err
		}
	}
	leads := func() bool { return isClosed(mgr.Elected()) }
	o.Metrics.SetSources(c.MetricSources(ctx, mgr.GetClient(), leads, o.Clock))
	return c.Pool, c.addLiveness(mgr)
}

// APIAccess groups the clients of the API server.
type APIAccess struct {
	// Client reads from caches, APIReader from the API server.
	Client    client.Client
	APIReader client.Reader
	Recorder  status.Recorder
}

// Controllers are the reconcilers and their queues. Create them with [New].
type Controllers struct {
	Deployments     *deployment.Reconciler
	Sessions        *session.Reconciler
	Pods            *pod.Reconciler
	DeploymentQueue *reconcile.Queue
	SessionQueue    *reconcile.Queue
	PodQueue        *reconcile.Queue

	// DeploymentProgress and SessionProgress are for the liveness probe.
	DeploymentProgress, SessionProgress *reconcile.Progress

	// streams are those of workspaces.
	streams Streams
	// queues are the workers of the controllers that run, by the names that the health checks have.
	queues map[string]workers

	// Pool holds the connections, Retention the decisions that deployments make about sessions.
	Pool      *connection.Pool
	Retention *retention.Decisions
}

// New builds both reconcilers and connects them: changes of settings and of supplied tokens are
// debounced and then enqueue the object they belong to; a deployment enqueues its sessions.
func New(ctx context.Context, a APIAccess, o Options) Controllers {
	names := inventory.Names{Cluster: o.Cluster}
	deployments, sessions, pods := &reconcile.Queue{}, &reconcile.Queue{}, &reconcile.Queue{}
	settings := debounce.New(o.Clock, func(key types.NamespacedName) { deployments.Add(key, 0) })
	tokens := debounce.New(o.Clock, func(key types.NamespacedName) { sessions.Add(key, 0) })
	decisions := retention.New()
	streams := newStreams(ctx, o, sessions)
	writer := status.NewWriter(a.Client, podRecorder{a.Recorder}, o.Clock)
	servers := newServers(o)
	ofDeployments := newWorkers(deploymentWorkers(o.MaxConcurrent), servers, deployments, o.Clock)
	ofSessions := newWorkers(sessionWorkers(o.MaxConcurrent), servers, sessions, o.Clock)
	// Its passes call no Coder server: none is known as slow.
	ofPods := newWorkers(podWorkers(o.MaxConcurrent),
		fairqueue.NewServers(o.Clock, func(types.NamespacedName, bool) {}), pods, o.Clock)
	queues := map[string]workers{deploymentsName: ofDeployments, sessionsName: ofSessions}
	if o.ServesPods {
		queues[podsName] = ofPods
	}
	pool := newPool(a, o, settings.Settling, servers)
	tools := &session.Tools{
		Client: a.Client, APIReader: a.APIReader, Key: o.Key,
		Secrets: secret.NewStore(a.APIReader, a.Client, o.Key, FieldOwner),
		Names:   names, Status: writer, Metrics: o.Metrics, Clock: o.Clock, NamespaceLabels: o.NamespaceLabels,
		ServesPods: o.ServesPods, Siblings: session.NewSiblings(), Writes: session.NewSecretWrites(),
		PodRefusals:    session.NewPodRefusals(func(parent types.NamespacedName) { sessions.Add(parent, 0) }),
		AdmissionKinds: o.AdmissionKinds,
	}
	return Controllers{
		Pods: pod.New(pod.Options{
			Client: a.Client, APIReader: a.APIReader, Status: writer, Clock: o.Clock, Selector: o.Selector,
			Queue: pods, FairQueue: ofPods.fairQueue, Progress: ofPods.progress, Created: tools.Siblings.RecordCreated,
			Refused: tools.PodRefusals.Record,
			Skew:    func(key types.NamespacedName) time.Duration { return pool.Get(key).Skew() },
		}),
		Pool: pool, Retention: decisions, DeploymentQueue: deployments, SessionQueue: sessions, PodQueue: pods,
		streams: streams, queues: queues,
		DeploymentProgress: ofDeployments.progress, SessionProgress: ofSessions.progress,
		Deployments: deployment.New(deployment.Options{
			Client: a.Client, APIReader: a.APIReader, Pool: pool, Debouncer: settings, Status: writer,
			Metrics: o.Metrics, Names: names, Clock: o.Clock, Jitter: o.Jitter, Sessions: sessions,
			Streams: streams, Retention: decisions, OrphanGrace: o.OrphanGrace, FieldOwner: FieldOwner,
			RevocationTimeout: o.RevocationTimeout, NamespaceLabels: o.NamespaceLabels,
			Namespaces: o.Namespaces, Selector: o.Selector,
			FairQueue: ofDeployments.fairQueue, Progress: ofDeployments.progress,
		}),
		Sessions: session.New(tools, authMethods(tools, a, o), session.Options{
			Pool: pool, Debouncer: tokens, Workloads: workload.NewStore(a.APIReader, a.Client), Streams: streams,
			Retention: decisions, Queue: sessions, Deployments: deployments, Jitter: o.Jitter,
			RevocationTimeout: o.RevocationTimeout,
			FairQueue:         ofSessions.fairQueue, Progress: ofSessions.progress,
		}),
	}
}

// newStreams returns the streams of workspaces, which enqueue the sessions that hold them.
func newStreams(ctx context.Context, o Options, sessions *reconcile.Queue) Streams {
	options := stream.Options{
		Clock:  o.Clock,
		Jitter: func() float64 { return o.Jitter(time.Second).Seconds() },
		Notify: func(n stream.Notification) {
			for _, holder := range n.Holders {
				sessions.Add(holder, 0)
			}
		},
	}
	if o.NewStreams != nil {
		return o.NewStreams(ctx, options)
	}
	return stream.NewSet(ctx, options)
}

// authMethods registers the auth methods.
func authMethods(tools *session.Tools, a APIAccess, o Options) session.Methods {
	grants := grant.NewStore(a.APIReader, a.Client)
	return session.Methods{
		v1alpha1.AuthMint:        mint.New(tools),
		v1alpha1.AuthToken:       supplied.New(tools),
		v1alpha1.AuthOAuth:       oauth.New(tools, grants, o.RedirectURIs, o.Random, o.Instance),
		v1alpha1.AuthCertificate: certificate.Method{},
	}
}

// newPool returns the pool of connections.
func newPool(
	a APIAccess, o Options, settling func(types.NamespacedName) bool, servers connection.Servers,
) *connection.Pool {
	return connection.NewPool(connection.Options{
		Resolver:   authconfig.NewResolver(a.APIReader, a.Client, o.Key, o.Roots),
		Deployment: deploymentGetter(a.Client),
		Settling:   settling,
		Clock:      o.Clock,
		Names:      inventory.Names{Cluster: o.Cluster},
		UserAgent:  o.UserAgent,
		Addresses:  o.Addresses,
		Observe: func(key types.NamespacedName, call coder.Call) {
			o.Metrics.Requested(key.Namespace, key.Name, call.Operation, outcomeLabel(call.Kind), call.Duration)
		},
		Retried: func(key types.NamespacedName) { o.Metrics.SilentRetry(key.Namespace, key.Name) },
		Servers: servers,
	})
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
