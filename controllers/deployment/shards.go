// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// takeOverTokens makes the next listing keep the tokens that status names and that another manager has
// minted, before the sessions came to this one (B171).
func (r *Reconciler) takeOverTokens(ctx context.Context, s *scope) error {
	sessions, err := lookup.SessionsBy(ctx, r.o.Client, lookup.ByDeployment, s.key.String())
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
// leaves out. They are read from the API server at the first question, so it is asked once for each list of
// tokens, and only if there is a token that no object in the cache claims. The zero value with r is ready
// for use.
type otherShards struct {
	r *Reconciler
	// sessions and deployments by the prefix of their tokens; nil: not read yet.
	sessions    map[string][]v1alpha1.CoderSession
	deployments map[string]bool
}

// maxPage is how many objects are read at once.
const maxPage = 500

// claims reports whether a token of this manager belongs to an object that another one watches now. Of a
// session that is what its status or its Secret names: what a crash has left behind is an orphan.
func (o *otherShards) claims(ctx context.Context, token coder.Token) (bool, error) {
	if o.r.o.Selector == nil || o.r.o.Selector.Empty() {
		return false, nil // the cache has all
	}
	if o.sessions == nil {
		if err := o.read(ctx); err != nil {
			return false, err
		}
	}
	prefix, _ := o.r.o.Names.SessionPrefixOf(token.Name)
	if o.deployments[prefix] {
		return true, nil
	}
	for i := range o.sessions[prefix] {
		if names, err := o.names(ctx, &o.sessions[prefix][i], token.ID); names || err != nil {
			return names, err
		}
	}
	return false, nil
}

// names reports whether a session's status or Secret names a token.
func (o *otherShards) names(ctx context.Context, session *v1alpha1.CoderSession, id string) (bool, error) {
	status := session.Status
	pending := func(p v1alpha1.PendingRevocation) bool { return p.ID == id }
	if status.Token != nil && status.Token.ID == id || slices.ContainsFunc(status.PendingRevocations, pending) {
		return true, nil
	}
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	key := types.NamespacedName{Namespace: session.Namespace, Name: session.SecretName()}
	err := o.r.o.APIReader.Get(ctx, key, secret)
	return err == nil && secret.Annotations[v1alpha1.AnnotationTokenID] == id, client.IgnoreNotFound(err)
}

// read reads the objects of all watched namespaces.
func (o *otherShards) read(ctx context.Context) error {
	namespaces := o.r.o.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	o.sessions, o.deployments = map[string][]v1alpha1.CoderSession{}, map[string]bool{}
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
	names := o.r.o.Names
	err := o.readPages(ctx, namespace, func() client.ObjectList { return &v1alpha1.CoderSessionList{} },
		func(list client.ObjectList) {
			for _, session := range list.(*v1alpha1.CoderSessionList).Items {
				prefix := names.SessionPrefix(string(session.UID))
				o.sessions[prefix] = append(o.sessions[prefix], session)
			}
		})
	if err != nil {
		return err
	}
	return o.readPages(ctx, namespace, func() client.ObjectList { return &v1alpha1.CoderDeploymentList{} },
		func(list client.ObjectList) {
			for _, deployment := range list.(*v1alpha1.CoderDeploymentList).Items {
				o.deployments[names.SessionPrefix(string(deployment.UID))] = true
			}
		})
}

// readPages reads all objects of a kind in pages.
func (o *otherShards) readPages(
	ctx context.Context, namespace string, newList func() client.ObjectList, add func(client.ObjectList),
) error {
	for next, more := "", true; more; more = next != "" {
		list := newList()
		err := o.r.o.APIReader.List(ctx, list, client.InNamespace(namespace), client.Limit(maxPage), client.Continue(next))
		if err != nil {
			return err
		}
		add(list)
		next = list.GetContinue()
	}
	return nil
}
