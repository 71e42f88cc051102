// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Patcher is the part of a client that the Store writes with.
type Patcher interface {
	// Patch changes an object, if the patch's precondition holds.
	Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error
}

// Store reads and rolls workloads. Make it with [NewStore]. It is safe for concurrent use.
//
// Its errors wrap those of the API server.
type Store struct {
	reader client.Reader
	writer Patcher
}

// NewStore returns a Store that reads live, past any cache: workloads are looked at only while one of them is to be
// rolled.
func NewStore(reader client.Reader, writer Patcher) *Store {
	return &Store{reader: reader, writer: writer}
}

// State is a workload as it was read.
type State struct {
	// Missing says that there is none of that name.
	Missing bool
	// Credential is the digest of the one that it was last rolled for, on behalf of the session. Empty: it never was.
	Credential string
	Rollout

	object   client.Object
	template func(client.Object) *corev1.PodTemplateSpec
}

// Observe reads a workload in the session's namespace. One that does not exist is no error.
func (s *Store) Observe(ctx context.Context, session *v1alpha1.CoderSession, target v1alpha1.RestartTarget) (State, error) {
	object, template := empty(target.Kind)
	if object == nil {
		return State{}, fmt.Errorf("spec.restart: %s %q: kind must be Deployment, StatefulSet or DaemonSet", target.Kind, target.Name)
	}
	key := types.NamespacedName{Namespace: session.Namespace, Name: string(target.Name)}
	if err := s.reader.Get(ctx, key, object); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return State{}, fmt.Errorf("look at %s %s: %w", target.Kind, key, err)
		}
		return State{Missing: true}, nil
	}
	return State{
		Credential: template(object).Annotations[marker(session)],
		Rollout:    rollout(object),
		object:     object,
		template:   template,
	}, nil
}

// Restart rolls a workload for a credential, provided that it still is as it was observed. The error is a conflict when
// somebody wrote it in between.
func (s *Store) Restart(ctx context.Context, session *v1alpha1.CoderSession, was State, credential string, now time.Time) error {
	if was.object == nil {
		return nil
	}
	next, ok := was.object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", was.object)
	}
	template := was.template(next)
	if template.Annotations == nil {
		template.Annotations = map[string]string{}
	}
	template.Annotations[marker(session)] = credential
	template.Annotations[v1alpha1.AnnotationRestartedAt] = now.UTC().Format(time.RFC3339)
	patch := client.MergeFromWithOptions(was.object, client.MergeFromWithOptimisticLock{})
	if err := s.writer.Patch(ctx, next, patch); err != nil {
		return fmt.Errorf("restart %s: %w", client.ObjectKeyFromObject(next), err)
	}
	return nil
}

// marker is the annotation of a session's credential: sessions that share a workload do not overwrite each other's.
func marker(session *v1alpha1.CoderSession) string {
	return v1alpha1.AnnotationRestartPrefix + session.Name
}
