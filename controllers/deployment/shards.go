// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
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
// leaves out. They are read from the API server if there is a token that no object in the cache claims, at
// most once a minute for all deployments. It is safe for concurrent use.
type otherShards struct {
	o Options

	mu     sync.Mutex
	readAt time.Time
	// sessions are by the prefix of their tokens; nil: not read yet.
	sessions map[string][]*shardSession
	// prefixes are those of the tokens of deployments.
	prefixes map[string]bool
	// inside is, for each deployment, whether the selector matches it.
	inside map[types.NamespacedName]bool
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
	// maxPage is how many objects are read at once.
	maxPage = 500
	// shardsAge is how old what was read may be, or half of the grace period if that is less, so that a
	// token that may be revoked was there when the objects were read.
	shardsAge = time.Minute
)

// claimOf returns who claims a token of this manager now.
func (o *otherShards) claimOf(ctx context.Context, token coder.Token) (shardClaim, error) {
	if o.o.Selector == nil || o.o.Selector.Empty() {
		return unclaimed, nil // the cache has all
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sessions == nil || o.o.Clock.Since(o.readAt) >= min(shardsAge, o.o.OrphanGrace/2) {
		if err := o.read(ctx); err != nil {
			return unclaimed, err
		}
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
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
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
	o.inside = map[types.NamespacedName]bool{}
	for _, namespace := range namespaces {
		if err := o.readNamespace(ctx, namespace); err != nil {
			o.sessions = nil
			return fmt.Errorf("look for the sessions of other managers: %w", err)
		}
	}
	return nil
}

// readNamespace reads the objects of a namespace; empty: of all.
func (o *otherShards) readNamespace(ctx context.Context, namespace string) error {
	names := o.o.Names
	err := o.readPages(ctx, namespace, func() client.ObjectList { return &v1alpha1.CoderSessionList{} },
		func(list client.ObjectList) {
			items := list.(*v1alpha1.CoderSessionList).Items
			for i := range items {
				prefix := names.SessionPrefix(string(items[i].UID))
				o.sessions[prefix] = append(o.sessions[prefix], newShardSession(&items[i]))
			}
		})
	if err != nil {
		return err
	}
	return o.readPages(ctx, namespace, func() client.ObjectList { return &v1alpha1.CoderDeploymentList{} },
		func(list client.ObjectList) {
			items := list.(*v1alpha1.CoderDeploymentList).Items
			for i := range items {
				o.prefixes[names.SessionPrefix(string(items[i].UID))] = true
				o.inside[client.ObjectKeyFromObject(&items[i])] = o.o.Selector.Matches(labels.Set(items[i].Labels))
			}
		})
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

// readPages reads all objects of a kind in pages.
func (o *otherShards) readPages(
	ctx context.Context, namespace string, newList func() client.ObjectList, add func(client.ObjectList),
) error {
	for next, more := "", true; more; more = next != "" {
		list := newList()
		err := o.o.APIReader.List(ctx, list, client.InNamespace(namespace), client.Limit(maxPage), client.Continue(next))
		if err != nil {
			return err
		}
		add(list)
		next = list.GetContinue()
	}
	return nil
}
