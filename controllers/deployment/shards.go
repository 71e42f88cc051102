// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
)

// takeOverTokens makes the next listing keep the tokens that status names and that another manager has
// minted, before the sessions came to this one (B171).
func (r *Reconciler) takeOverTokens(ctx context.Context, s *scope) error {
	sessions, err := lookup.SessionsOf(ctx, r.o.Client, s.key)
	if err != nil {
		return err
	}
	var moved []string
	for i := range sessions {
		uid := string(sessions[i].UID)
		token := sessions[i].Status.Token
		if token == nil || !r.o.Names.OfSession(token.Name, uid) {
			continue
		}
		if _, own := r.o.Names.Serial(token.Name, uid); !own {
			moved = append(moved, token.ID)
		}
	}
	s.conn.Inventory.SetMoved(moved)
	return nil
}

// otherShards are the sessions and deployments of the watched namespaces, also those that the selector
// leaves out. They are read from the API server if there is a token that no object in the cache claims, or if a
// deployment is deleted whose sessions in the cache are gone, at most once a minute for all deployments. It is safe
// for concurrent use.
type otherShards struct {
	o Options
	// addNeed adds a session to those that a deleted deployment may have to wait for.
	addNeed func(context.Context, *v1alpha1.CoderDeployment, *v1alpha1.CoderSession, *deployment.Sessions) error

	mu     sync.Mutex
	readAt time.Time
	// sessions are by the prefix of their tokens; nil: not read yet.
	sessions map[string][]*shardSession
	// prefixes are those of the tokens of deployments.
	prefixes map[string]bool
	// inside is, for each deployment, whether the selector matches it.
	inside map[types.NamespacedName]bool
	// deleted are the deployments that the selector matches and that were being deleted.
	deleted map[types.NamespacedName]*deletedDeployment
}

// deletedDeployment is a deployment that is being deleted, and those of the sessions which the selector leaves out
// that it has to wait for. Only a few are kept: they are there to be named.
type deletedDeployment struct {
	object   *v1alpha1.CoderDeployment
	neededBy deployment.Sessions
}

// shardSession is what is kept of a session.
type shardSession struct {
	deployment, secret types.NamespacedName
	// ids are the tokens that status names, and, once the Secret was read, the one that it names.
	ids        []string
	secretRead bool
}

// shardClaim is who claims a token that no object in the cache claims.
type shardClaim int

const (
	// unclaimed is also a token of a session that its status and its Secret do not name: a crash has left
	// it.
	unclaimed shardClaim = iota
	// moved tokens belong to a session or deployment that another manager watches now.
	moved
	// leftBehind tokens belong to a session that the selector leaves out, without its deployment. Another
	// manager can do nothing with it, and there may be none.
	leftBehind
)

const (
	// maxPage is how many objects are read with one request.
	maxPage = 500
	// shardsAge is how old what was read may be, or half of the grace period if that is less, so that a
	// token that may be revoked was there when the objects were read.
	shardsAge = time.Minute
	// maxNamed is how many sessions that a deleted deployment waits for are kept.
	maxNamed = 10
)

// addNeeds adds the sessions outside of the selector that a deleted deployment has to wait for: it may have been
// moved to this manager without them, and without its finalizer another one of its name would get their tokens.
// They are read after the deletion, which may take until the next read is due: seen.Unread is set until then.
func (o *otherShards) addNeeds(
	ctx context.Context, object *v1alpha1.CoderDeployment, seen *deployment.Sessions,
) error {
	if o.isOff() {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	found := o.deletedOf(object)
	if found == nil || len(found.neededBy.Allowed)+len(found.neededBy.Holding) > 0 {
		if err := o.readIfDue(ctx); err != nil {
			return err
		}
		found = o.deletedOf(object)
	}
	if found == nil {
		seen.Unread = true
		return nil
	}
	seen.Allowed = append(seen.Allowed, found.neededBy.Allowed...)
	seen.Holding = append(seen.Holding, found.neededBy.Holding...)
	seen.Elsewhere = len(seen.Allowed)+len(seen.Holding) > 0
	return nil
}

// deletedOf returns what was read of a deployment after its deletion; nil: nothing. Another one may have had its
// name when the objects were read. mu must be held.
func (o *otherShards) deletedOf(object *v1alpha1.CoderDeployment) *deletedDeployment {
	found := o.deleted[client.ObjectKeyFromObject(object)]
	if found == nil || found.object.UID != object.UID {
		return nil
	}
	return found
}

// isOff reports whether there are no other managers: the cache has all.
func (o *otherShards) isOff() bool { return o.o.Selector == nil || o.o.Selector.Empty() }

// readIfDue reads the objects if what was read is too old. mu must be held.
func (o *otherShards) readIfDue(ctx context.Context) error {
	if o.sessions != nil && o.o.Clock.Since(o.readAt) < min(shardsAge, o.o.OrphanGrace/2) {
		return nil
	}
	return o.read(ctx)
}

// claimOf returns who claims a token of this manager now.
func (o *otherShards) claimOf(ctx context.Context, token coder.Token) (shardClaim, error) {
	if o.isOff() {
		return unclaimed, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.readIfDue(ctx); err != nil {
		return unclaimed, err
	}
	prefix, _ := o.o.Names.SessionPrefixOf(token.Name)
	if o.prefixes[prefix] {
		return moved, nil
	}
	for _, session := range o.sessions[prefix] {
		switch names, err := o.names(ctx, session, token.ID); {
		case err != nil:
			return unclaimed, err
		case names && o.isLeftBehind(session):
			return leftBehind, nil
		case names:
			return moved, nil
		}
	}
	return unclaimed, nil
}

// isLeftBehind reports whether this manager watches the deployment of a session, or there is none in the
// watched namespaces.
func (o *otherShards) isLeftBehind(session *shardSession) bool {
	inside, found := o.inside[session.deployment]
	namespaces := o.o.Namespaces
	watched := len(namespaces) == 0 || slices.Contains(namespaces, session.deployment.Namespace)
	return inside || !found && watched
}

// names reports whether a session's status or Secret names a token. The Secret is read once.
func (o *otherShards) names(ctx context.Context, session *shardSession, id string) (bool, error) {
	if session.secretRead || slices.Contains(session.ids, id) {
		return slices.Contains(session.ids, id), nil
	}
	secret := lookup.Metadata("Secret")
	err := o.o.APIReader.Get(ctx, session.secret, secret)
	if client.IgnoreNotFound(err) != nil {
		return false, err
	}
	session.secretRead = true
	if published := secret.Annotations[v1alpha1.AnnotationTokenID]; published != "" {
		session.ids = append(session.ids, published)
	}
	return slices.Contains(session.ids, id), nil
}

// read reads the objects of all watched namespaces.
func (o *otherShards) read(ctx context.Context) error {
	namespaces := o.o.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	o.readAt = o.o.Clock.Now()
	o.sessions, o.prefixes = map[string][]*shardSession{}, map[string]bool{}
	o.inside, o.deleted = map[types.NamespacedName]bool{}, map[types.NamespacedName]*deletedDeployment{}
	kinds := []struct {
		newList func() client.ObjectList
		add     func(context.Context, runtime.Object) error
	}{
		{func() client.ObjectList { return &v1alpha1.CoderDeploymentList{} }, o.addDeployment},
		{func() client.ObjectList { return &v1alpha1.CoderSessionList{} }, o.addSession},
	}
	for _, kind := range kinds {
		for _, namespace := range namespaces {
			if err := o.readEach(ctx, namespace, kind.newList, kind.add); err != nil {
				o.sessions, o.deleted = nil, nil // a part of them would tell that no session is left
				return fmt.Errorf("look for the sessions of other managers: %w", err)
			}
		}
	}
	return nil
}

// addDeployment adds what is kept of a deployment.
func (o *otherShards) addDeployment(_ context.Context, object runtime.Object) error {
	d := object.(*v1alpha1.CoderDeployment)
	key, matches := client.ObjectKeyFromObject(d), o.o.Selector.Matches(labels.Set(d.Labels))
	o.prefixes[o.o.Names.SessionPrefix(string(d.UID))] = true
	o.inside[key] = matches
	if matches && d.DeletionTimestamp != nil {
		o.deleted[key] = &deletedDeployment{object: d.DeepCopy()}
	}
	return nil
}

// addSession adds what is kept of a session. The deployments were read before.
func (o *otherShards) addSession(ctx context.Context, object runtime.Object) error {
	s := object.(*v1alpha1.CoderSession)
	prefix := o.o.Names.SessionPrefix(string(s.UID))
	o.sessions[prefix] = append(o.sessions[prefix], newShardSession(s))
	return o.addNeedOf(ctx, s)
}

// addNeedOf adds a session that the selector leaves out to those that its deployment waits for.
func (o *otherShards) addNeedOf(ctx context.Context, s *v1alpha1.CoderSession) error {
	of := o.deleted[s.DeploymentKey()]
	if of == nil || o.o.Selector.Matches(labels.Set(s.Labels)) {
		return nil
	}
	err := o.addNeed(ctx, of.object, s, &of.neededBy)
	of.neededBy.Allowed = of.neededBy.Allowed[:min(len(of.neededBy.Allowed), maxNamed)]
	of.neededBy.Holding = of.neededBy.Holding[:min(len(of.neededBy.Holding), maxNamed)]
	return err
}

// newShardSession copies what is kept of a session, so that the page that it came with is not.
func newShardSession(s *v1alpha1.CoderSession) *shardSession {
	deployment := s.DeploymentKey()
	kept := &shardSession{
		deployment: types.NamespacedName{
			Namespace: strings.Clone(deployment.Namespace), Name: strings.Clone(deployment.Name),
		},
		secret: types.NamespacedName{Namespace: strings.Clone(s.Namespace), Name: strings.Clone(s.SecretName())},
	}
	if s.Status.Token != nil {
		kept.ids = append(kept.ids, strings.Clone(s.Status.Token.ID))
	}
	for _, pending := range s.Status.PendingRevocations {
		kept.ids = append(kept.ids, strings.Clone(pending.ID))
	}
	return kept
}

// readEach reads the objects of a kind in a namespace (empty: in all) by pages, and calls add for each of them.
func (o *otherShards) readEach(
	ctx context.Context, namespace string, newList func() client.ObjectList,
	add func(context.Context, runtime.Object) error,
) error {
	pages := pager.New(func(ctx context.Context, page metav1.ListOptions) (runtime.Object, error) {
		list := newList()
		err := o.o.APIReader.List(ctx, list, client.InNamespace(namespace), client.Limit(page.Limit),
			client.Continue(page.Continue))
		return list, err
	})
	pages.PageSize, pages.PageBufferSize = maxPage, 1
	return pages.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error { return add(ctx, object) })
}
