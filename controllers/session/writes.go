// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
)

// acceptedFor is how long the creation of a Secret says that another one would be accepted, too.
const acceptedFor = 10 * time.Minute

// secretGroup identifies the generated Secrets of a namespace that admission has no reason to judge
// differently: those of the pods of one parent, or those whose sessions ask for the same labels,
// annotations and templates.
type secretGroup struct {
	namespace, parent string
	shape             [sha256.Size]byte // zero: the session asks for nothing of its own
}

func groupOf(s *v1alpha1.CoderSession) secretGroup {
	group := secretGroup{namespace: s.Namespace, parent: podsession.Parent(s).Name}
	spec := s.Spec.Secret
	if group.parent == "" && spec != nil && len(spec.Labels)+len(spec.Annotations)+len(spec.Template) > 0 {
		group.shape = sha256.Sum256(fmt.Appendf(nil, "%q %q %q", spec.Labels, spec.Annotations, spec.Template))
	}
	return group
}

// SecretWrites is how the API server has answered this process's writes of generated Secrets, so that not
// each has to be tried before a token is minted for it (B110). It may be lost at any time: the cost is one
// more request for each group of Secrets. It remembers nothing but what sessions are there for. Create it
// with [NewSecretWrites]. It is safe for concurrent use.
type SecretWrites struct {
	mu sync.Mutex
	// accepted are the last creations that were accepted, or would have been. None of the namespace was
	// refused since, and the API server's admission was not changed.
	accepted map[secretGroup]creation
	// groups are those in accepted, by the session.
	groups map[types.NamespacedName]secretGroup
	// refused are the namespaces in which the last update failed, with the session. A creation that fails
	// says nothing about updates.
	refused map[string]types.NamespacedName
}

// creation is that of a Secret of a session.
type creation struct {
	session types.NamespacedName
	at      time.Time
}

// NewSecretWrites returns an empty SecretWrites.
func NewSecretWrites() *SecretWrites {
	return &SecretWrites{
		accepted: map[secretGroup]creation{}, groups: map[types.NamespacedName]secretGroup{},
		refused: map[string]types.NamespacedName{},
	}
}

// recordAccepted remembers that a creation or an update of a session's Secret was accepted.
func (w *SecretWrites) recordAccepted(s *v1alpha1.CoderSession, created bool, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !created {
		delete(w.refused, s.Namespace)
		return
	}
	group, key := groupOf(s), client.ObjectKeyFromObject(s)
	w.drop(w.groups[key]) // it asks for something else now
	w.drop(group)
	w.accepted[group], w.groups[key] = creation{key, now}, group
}

// drop forgets that a creation was accepted. mu must be held.
func (w *SecretWrites) drop(group secretGroup) {
	delete(w.groups, w.accepted[group].session)
	delete(w.accepted, group)
}

// recordRefused remembers that a creation or an update of a session's Secret has failed.
func (w *SecretWrites) recordRefused(s *v1alpha1.CoderSession, created bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !created {
		w.refused[s.Namespace] = client.ObjectKeyFromObject(s)
	}
	for group := range w.accepted {
		if group.namespace == s.Namespace {
			w.drop(group)
		}
	}
}

// refusedUpdate reports whether the last update in a namespace has failed.
func (w *SecretWrites) refusedUpdate(namespace string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, refused := w.refused[namespace]
	return refused
}

// accepts reports whether a Secret of a group was created lately, and none of its namespace refused since.
func (w *SecretWrites) accepts(group secretGroup, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, known := w.accepted[group]
	return known && now.Sub(last.at) < acceptedFor
}

// forget drops a session that is gone, and what its pods wrote.
func (w *SecretWrites) forget(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(secretGroup{namespace: key.Namespace, parent: key.Name})
	w.drop(w.groups[key])
	if w.refused[key.Namespace] == key {
		delete(w.refused, key.Namespace)
	}
}

// forgetAccepted drops what was accepted, because what may be refused has changed.
func (w *SecretWrites) forgetAccepted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.accepted)
	clear(w.groups)
}

// recordWrite remembers how a write of the generated Secret ended, and returns its error. After a
// failure, whatever the reason, the API server is asked whether it would take the Secret before
// another token is minted for it.
func (t *Tools) recordWrite(s *Scope, success writeOutcome, err error) error {
	created := s.Prior.Ownership == secret.Absent
	switch {
	case err == nil:
		s.Memory.lastWrite = success
		t.Writes.recordAccepted(s.Session, created, t.Clock.Now())
	case !reconcile.IsOutdated(err):
		s.Memory.lastWrite = refused
		t.Writes.recordRefused(s.Session, created)
	}
	return err
}

// isUnproven reports whether the write of a Secret has to be tried before a token is minted for it.
func (t *Tools) isUnproven(ctx context.Context, s *Scope, exists bool) bool {
	switch {
	case s.Memory.lastWrite == refused:
		return true
	case s.Memory.lastWrite == accepted:
		return false
	case exists: // an update
		return t.Writes.refusedUpdate(s.Session.Namespace)
	}
	return !t.isFirstOfAccepted(ctx, s)
}

// isFirstOfAccepted reports whether a session never had a Secret, and the API server has no reason to
// refuse it what it took for others: no quota counts Secrets, and the namespace is not being deleted. An
// operator that does not see what may be a reason assumes so for the pods of one parent only.
func (t *Tools) isFirstOfAccepted(ctx context.Context, s *Scope) bool {
	reported := s.Session.Status
	had := s.Prior.Ownership != secret.Absent || s.Memory.published || reported.Token != nil || reported.Secret != nil
	group := groupOf(s.Session)
	if had || !t.Writes.accepts(group, t.Clock.Now()) || t.isTerminating(ctx, group.namespace) {
		return false
	}
	if len(t.AdmissionKinds) == 0 {
		return group.parent != ""
	}
	return !t.hasSecretQuota(ctx, group.namespace)
}

// hasSecretQuota reports whether a ResourceQuota limits the number of Secrets in a namespace, or might.
func (t *Tools) hasSecretQuota(ctx context.Context, namespace string) bool {
	var quotas corev1.ResourceQuotaList
	err := t.Client.List(ctx, &quotas, client.InNamespace(namespace), client.UnsafeDisableDeepCopy)
	if err != nil {
		return true
	}
	for i := range quotas.Items {
		if lookup.CountsSecrets(&quotas.Items[i]) {
			return true
		}
	}
	return false
}
