// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
)

// simCache simulates the operator's caches. Each kind has its own watch, whose events arrive in
// order, but independently of other kinds.
type simCache struct {
	api     *simAPI
	objects map[ref]client.Object
	pending map[string][]news
	indexes map[string]client.IndexerFunc // by kind and field
	watches []watch
	// delivered is told of each change that is delivered.
	delivered func(before, after client.Object)
}

// news is a change that the watch has not delivered yet.
type news struct {
	change
	due time.Time
}

// watch is a controller's watch of one kind.
type watch struct {
	kind       string
	metadata   bool
	handler    handler.EventHandler
	predicates []predicate.Predicate
	queue      *simQueue
}

// newSimCache returns a cache with all existing objects.
func newSimCache(api *simAPI) *simCache {
	c := &simCache{
		api: api, objects: map[ref]client.Object{}, pending: map[string][]news{}, indexes: map[string]client.IndexerFunc{},
	}
	for r, object := range api.objects {
		c.objects[r] = copyOf(object)
	}
	return c
}

// IndexField makes the cache a client.FieldIndexer.
func (c *simCache) IndexField(_ context.Context, object client.Object, field string, extract client.IndexerFunc) error {
	c.indexes[kindOf(object)+"."+field] = extract
	return nil
}

// addWatches adds the watches of a controller. Deletions interrupt no request here: the handler of an
// abandoned request would go on beside the pass that follows, in no order that a seed determines.
func (c *simCache) addWatches(watches []reconcile.Watch, queue *simQueue) {
	for _, w := range watches {
		kind := kindOf(w.Object)
		c.watches = append(c.watches, watch{kind, w.MetadataOnly, w.Handler, w.Predicates, queue})
	}
}

// start delivers the initial list to the watches.
func (c *simCache) start(ctx context.Context) {
	for _, kind := range kinds {
		for _, r := range sortedRefs(c.objects) {
			if r.kind != kind {
				continue
			}
			for _, w := range c.watches {
				w.created(ctx, c.objects[r], true)
			}
		}
	}
}

// deliver delivers the next event of a kind.
func (c *simCache) deliver(ctx context.Context, kind string) {
	next := c.pending[kind][0]
	c.pending[kind] = c.pending[kind][1:]
	before := c.objects[next.ref]
	c.delivered(before, next.after)
	if next.after == nil {
		delete(c.objects, next.ref)
	} else {
		c.objects[next.ref] = copyOf(next.after)
	}
	for _, w := range c.watches {
		switch {
		case before == nil && next.after != nil:
			w.created(ctx, next.after, false)
		case before != nil && next.after == nil:
			w.deleted(ctx, before)
		case before != nil && before.GetUID() != next.after.GetUID():
			w.deleted(ctx, before)
			w.created(ctx, next.after, false)
		case before != nil:
			w.updated(ctx, before, next.after)
		}
	}
}

// shown returns the object as the watch reports it.
func (w watch) shown(object client.Object) client.Object {
	var shown any = copyOf(object)
	if w.metadata {
		shown = metadataFrom(object)
	}
	return stripped(shown)
}

// cacheOptions are those of the operator's cache, by the type of the object.
var cacheOptions = func() map[reflect.Type]cache.ByObject {
	options := map[reflect.Type]cache.ByObject{}
	for kind, o := range controllers.CacheOptions(nil, nil).ByObject {
		options[reflect.TypeOf(kind)] = o
	}
	return options
}()

// stripped is what the operator's cache keeps of an object, which may be metadata only. Here, all pods ask
// for a session.
func stripped(object any) client.Object {
	strip := controllers.StripUnused
	if options, ok := cacheOptions[reflect.TypeOf(object)]; ok {
		strip = options.Transform
	}
	kept, err := strip(object)
	if err != nil {
		panic(err)
	}
	return kept.(client.Object)
}

func (w watch) created(ctx context.Context, object client.Object, initial bool) {
	if kindOf(object) != w.kind {
		return
	}
	e := event.CreateEvent{Object: w.shown(object), IsInInitialList: initial}
	if !slices.ContainsFunc(w.predicates, func(p predicate.Predicate) bool { return !p.Create(e) }) {
		w.handler.Create(ctx, e, w.queue)
	}
}

func (w watch) updated(ctx context.Context, before, after client.Object) {
	if kindOf(after) != w.kind {
		return
	}
	e := event.UpdateEvent{ObjectOld: w.shown(before), ObjectNew: w.shown(after)}
	if !slices.ContainsFunc(w.predicates, func(p predicate.Predicate) bool { return !p.Update(e) }) {
		w.handler.Update(ctx, e, w.queue)
	}
}

func (w watch) deleted(ctx context.Context, object client.Object) {
	if kindOf(object) != w.kind {
		return
	}
	e := event.DeleteEvent{Object: w.shown(object)}
	if !slices.ContainsFunc(w.predicates, func(p predicate.Predicate) bool { return !p.Delete(e) }) {
		w.handler.Delete(ctx, e, w.queue)
	}
}

// get reads from the cache, which contains only metadata of Secrets and ConfigMaps.
func (c *simCache) get(r ref, out client.Object) error {
	_, metadata := out.(*metav1.PartialObjectMetadata)
	own := r.kind == kindDeployment || r.kind == kindSession || r.kind == kindPod
	if own == metadata {
		return fmt.Errorf("%s is not watched as %T", r.kind, out)
	}
	view := &simAPI{objects: c.objects}
	if err := view.get(r, out); err != nil {
		return err
	}
	into(out, stripped(out))
	return nil
}

// list lists from the cache by namespace and by index.
func (c *simCache) list(out client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	kind := kindDeployment
	switch out.(type) {
	case *v1alpha1.CoderSessionList:
		kind = kindSession
	case *corev1.PodList:
		kind = kindPod
	}
	for _, r := range sortedRefs(c.objects) {
		if r.kind != kind || o.Namespace != "" && o.Namespace != r.key.Namespace || !c.selected(c.objects[r], o) {
			continue
		}
		switch list := out.(type) {
		case *v1alpha1.CoderDeploymentList:
			list.Items = append(list.Items, *stripped(c.objects[r].DeepCopyObject()).(*v1alpha1.CoderDeployment))
		case *v1alpha1.CoderSessionList:
			list.Items = append(list.Items, *stripped(c.objects[r].DeepCopyObject()).(*v1alpha1.CoderSession))
		case *corev1.PodList:
			list.Items = append(list.Items, *stripped(c.objects[r].DeepCopyObject()).(*corev1.Pod))
		default:
			return fmt.Errorf("%T is not watched", out)
		}
	}
	return nil
}

func (c *simCache) selected(object client.Object, o client.ListOptions) bool {
	if o.FieldSelector == nil {
		return true
	}
	for _, need := range o.FieldSelector.Requirements() {
		extract := c.indexes[kindOf(object)+"."+need.Field]
		if extract == nil {
			panic("no index " + need.Field)
		}
		if !slices.Contains(extract(object), need.Value) {
			return false
		}
	}
	return true
}

// lags reports whether events of the given kinds, or of any kind, have not been delivered yet.
func (c *simCache) lags(of ...string) bool {
	for _, kind := range kinds {
		if len(c.pending[kind]) > 0 && (len(of) == 0 || slices.Contains(of, kind)) {
			return true
		}
	}
	return false
}

func sortedRefs[V any](objects map[ref]V) []ref {
	refs := make([]ref, 0, len(objects))
	for r := range objects {
		refs = append(refs, r)
	}
	slices.SortFunc(refs, func(a, b ref) int {
		return cmp.Or(strings.Compare(a.kind, b.kind),
			strings.Compare(a.key.Namespace, b.key.Namespace), strings.Compare(a.key.Name, b.key.Name))
	})
	return refs
}
