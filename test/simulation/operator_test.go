// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
)

// simOperator is one process of the operator with its caches, controllers and memory. Once it
// is dead, all its remaining calls fail.
type simOperator struct {
	w     *simWorld
	cache *simCache
	parts controllers.Controllers
	dead  bool

	deployments, sessions, pods *simQueue
	streams                     *simStreams
	measured                    *prometheus.Registry
}

// lanes are the controllers with their queues.
func (p *simOperator) lanes() []lane {
	return []lane{
		{"deployment", p.deployments, p.parts.Deployments}, {"session", p.sessions, p.parts.Sessions},
		{"pod", p.pods, p.parts.Pods},
	}
}

type lane struct {
	name       string
	queue      *simQueue
	reconciler reconcile.Reconciler
}

func (w *simWorld) startOperator() {
	p := &simOperator{
		w: w, cache: newSimCache(w.api), measured: prometheus.NewRegistry(),
		deployments: newSimQueue(w.clock), sessions: newSimQueue(w.clock),
		pods: newSimQueue(w.clock),
	}
	w.operator = p
	p.cache.delivered = w.noteBinding
	if err := lookup.AddIndexes(w.ctx(), p.cache, inventory.Names{Cluster: simCluster}); err != nil {
		w.fail("indexes: %v", err)
	}
	if err := lookup.AddPodIndexes(w.ctx(), p.cache); err != nil {
		w.fail("indexes of pods: %v", err)
	}
	access := controllers.APIAccess{Client: simClient{p: p}, APIReader: simContents{p}, Recorder: simRecorder{w}}
	p.parts = controllers.New(w.ctx(), access, controllers.Options{
		Key: w.key, Cluster: simCluster, Clock: operatorClock{w.clock, w}, Jitter: w.jitter, Metrics: metrics.New(p.measured),
		Roots: func() (*x509.CertPool, error) { return x509.NewCertPool(), nil }, UserAgent: "simulation",
		RevocationTimeout: 10 * time.Minute, OrphanGrace: simOrphanGrace, MaxConcurrent: 1, NamespaceLabels: true,
		RedirectURIs: grant.RedirectURIs(simCallback), Random: simBytes{w}, Instance: "simulated",
		ServesPods: w.features.pods,
		NewStreams: func(_ context.Context, o stream.Options) controllers.Streams { return p.newStreams(o) },
	})
	p.parts.DeploymentQueue.SetTarget(p.deployments)
	p.parts.SessionQueue.SetTarget(p.sessions)
	p.parts.PodQueue.SetTarget(p.pods)
	p.cache.addWatches(p.parts.Deployments.Watches(), p.deployments)
	p.cache.addWatches(p.parts.Sessions.Watches(), p.sessions)
	if w.features.pods {
		p.cache.addWatches(p.parts.Pods.Watches(), p.pods)
	}
	p.cache.start(w.ctx())
}

// stop marks the process as dead and stops its timers.
func (p *simOperator) stop() {
	p.dead = true
	p.streams.Close()
	p.parts.Deployments.Stop()
	p.parts.Sessions.Stop()
}

// work runs one pass over one key and handles its result like controller-runtime.
func (p *simOperator) work(l lane, key reconcile.Request) {
	l.queue.take(key)
	p.w.tracef("%s %s {", l.name, key)
	outer := p.w.lane
	p.w.lane = l.name
	defer func() { p.w.lane = outer }()
	result, err := l.reconciler.Reconcile(p.w.ctx(), key)
	p.w.sync()
	p.w.tracef("} %s %s: %v %v", l.name, key, result.RequeueAfter, err)
	p.w.judgeRemembered()
	if longest := deployment.DefaultInterval; result.RequeueAfter > longest {
		p.w.fail("B115: %s %s sleeps for %s", l.name, key, result.RequeueAfter)
	}
	switch {
	case err != nil:
		p.w.secretless("an error", err.Error())
		if !p.dead && !errors.Is(err, errInjected) {
			p.w.fail("%s %s: %v", l.name, key, err)
		}
		l.queue.AddRateLimited(key)
	case result.RequeueAfter > 0:
		l.queue.Forget(key)
		l.queue.AddAfter(key, result.RequeueAfter)
	default:
		l.queue.Forget(key)
	}
	l.queue.Done(key)
}

// errInjected is the cause of injected errors of the simulated API server.
var errInjected = errors.New("injected")

// injected is an injected error that looks like a real error of the API server.
type injected struct{ *apierrors.StatusError }

func (injected) Is(target error) bool { return target == errInjected }

func (e injected) Unwrap() error { return e.StatusError }

// reach makes a call of the operator to the API server. Random events happen before and after
// it. The call may fail, even after it was carried out, and the process may crash.
func (p *simOperator) reach(nests bool, what apiCall, call func() error) (err error) {
	p.w.sync()
	// Without its settings a deployment is not judged, and statuses stay as they are.
	if what.verb == verbPatchStatus || what.verb == "get" && slices.Contains(simSettings, what.ref.key.Name) {
		defer func() {
			if err != nil {
				p.w.disturb()
			}
		}()
	}
	lost := injected{apierrors.NewTimeoutError(what.String(), 1)}
	if p.dead {
		return lost
	}
	p.w.meanwhile(nests)
	p.w.begins(what.String())
	if p.dead || p.w.strikes(p.w.noise.api) {
		return lost
	}
	refused := p.w.refusalOf(what)
	if refused == nil || refused.done {
		p.w.byOperator = true
		err = call()
		p.w.byOperator = false
	}
	if refused != nil {
		err = refused.err(what.ref)
	}
	p.w.tracef("  api %s: %v", what, err)
	p.w.meanwhile(nests)
	if p.dead || p.w.strikes(p.w.noise.api) {
		return lost
	}
	return err
}

// simContents reads from the API server.
type simContents struct{ p *simOperator }

func (c simContents) Get(_ context.Context, key client.ObjectKey, out client.Object, _ ...client.GetOption) error {
	r := ref{kindOf(out), key}
	return c.p.reach(false, apiCall{verb: "get", ref: r}, func() error { return c.p.w.api.get(r, out) })
}

func (c simContents) List(_ context.Context, out client.ObjectList, _ ...client.ListOption) error {
	return fmt.Errorf("%T is not listed live", out)
}

// simClient reads from the cache and writes to the API server. It implements only the methods
// that the operator uses.
type simClient struct {
	client.Client
	p *simOperator
}

func (c simClient) Get(_ context.Context, key client.ObjectKey, out client.Object, _ ...client.GetOption) error {
	c.p.w.sync()
	return c.p.cache.get(ref{kindOf(out), key}, out)
}

func (c simClient) List(_ context.Context, out client.ObjectList, options ...client.ListOption) error {
	c.p.w.sync()
	return c.p.cache.list(out, options...)
}

func (c simClient) Create(_ context.Context, object client.Object, options ...client.CreateOption) error {
	var o client.CreateOptions
	o.ApplyOptions(options)
	if len(o.DryRun) > 0 {
		return c.p.reach(true, apiCall{verb: "create", ref: refOf(object), dry: true}, func() error { return nil })
	}
	return c.write("create", object, func() error { return c.p.w.api.create(object) })
}

func (c simClient) Update(_ context.Context, object client.Object, options ...client.UpdateOption) error {
	var o client.UpdateOptions
	o.ApplyOptions(options)
	if len(o.DryRun) > 0 {
		return c.p.reach(true, apiCall{verb: "update", ref: refOf(object), dry: true}, func() error { return nil })
	}
	return c.write("update", object, func() error { return c.p.w.api.update(object) })
}

func (c simClient) Delete(_ context.Context, object client.Object, options ...client.DeleteOption) error {
	var o client.DeleteOptions
	o.ApplyOptions(options)
	return c.write("delete", object, func() error { return c.p.w.api.remove(refOf(object), o.Preconditions) })
}

func (c simClient) Patch(_ context.Context, object client.Object, patch client.Patch, _ ...client.PatchOption) error {
	return c.write("patch", object, func() error { return c.p.w.api.patch(object, patch, false) })
}

func (c simClient) Status() client.SubResourceWriter { return simStatus{p: c.p} }

func (c simClient) write(verb string, object client.Object, call func() error) error {
	r := refOf(object)
	return c.p.reach(true, apiCall{verb: verb, ref: r}, c.p.w.needed(r, call))
}

type simStatus struct {
	client.SubResourceWriter
	p *simOperator
}

func (s simStatus) Patch(
	_ context.Context, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption,
) error {
	r := refOf(object)
	patched := func() error { return s.p.w.api.patch(object, patch, true) }
	return s.p.reach(true, apiCall{verb: verbPatchStatus, ref: r}, s.p.w.needed(r, patched))
}

// simRecorder records events and searches them for credentials.
type simRecorder struct{ w *simWorld }

func (r simRecorder) Eventf(about runtime.Object, _ runtime.Object, kind, reason, _, note string, args ...any) {
	r.w.sync()
	text := fmt.Sprintf(note, args...)
	r.w.tracef("  event %s %s: %s", kind, reason, text)
	r.w.secretless("an event", text)
	if reason == v1alpha1.EventRevocationAbandoned {
		r.w.abandon(text)
	}
	if object, ok := about.(client.Object); ok && kind == corev1.EventTypeWarning {
		r.w.warned(refOf(object), reason)
	}
}
