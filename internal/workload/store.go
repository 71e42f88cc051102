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
	// Patch changes an object if the patch's precondition holds.
	Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error
}

// Store reads and restarts workloads. Create it with [NewStore]. It is safe for concurrent use.
//
// Its errors wrap those of the API server.
type Store struct {
	reader client.Reader
	writer Patcher
}

// NewStore returns a Store that reads from the API server, not from a cache: workloads are read
// only while one of them is to be restarted.
func NewStore(reader client.Reader, writer Patcher) *Store {
	return &Store{reader: reader, writer: writer}
}

// State is a workload as it was read.
type State struct {
	// Missing is set if the workload does not exist.
	Missing bool
	// Credential is the digest of the credential that it was last restarted for, on behalf of the
	// session. Empty: it never was.
	Credential string
	Rollout

	object   client.Object
	template func(client.Object) *corev1.PodTemplateSpec
}

// Observe reads a workload in the session's namespace. A missing one is not an error.
func (s *Store) Observe(
	ctx context.Context, session *v1alpha1.CoderSession, target v1alpha1.RestartTarget,
) (State, error) {
	object, template := newObject(target.Kind)
	if object == nil {
		return State{}, fmt.Errorf("spec.restart: %s %q: kind must be Deployment, StatefulSet or DaemonSet", target.Kind,
			target.Name)
	}
	key := types.NamespacedName{Namespace: session.Namespace, Name: string(target.Name)}
	if err := s.reader.Get(ctx, key, object); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return State{}, fmt.Errorf("look at %s %s: %w", target.Kind, key, err)
		}
		return State{Missing: true}, nil
	}
	return State{
		Credential: template(object).Annotations[credentialAnnotation(session)],
		Rollout:    rolloutOf(object),
		object:     object,
		template:   template,
	}, nil
}

// Restart restarts a workload for a credential if it is unchanged since it was observed. If another
// writer changed it in between, the error is a conflict.
func (s *Store) Restart(
	ctx context.Context, session *v1alpha1.CoderSession, was State, credential string, now time.Time,
) error {
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
	template.Annotations[credentialAnnotation(session)] = credential
	template.Annotations[v1alpha1.AnnotationRestartedAt] = now.UTC().Format(time.RFC3339)
	patch := client.MergeFromWithOptions(was.object, client.MergeFromWithOptimisticLock{})
	if err := s.writer.Patch(ctx, next, patch); err != nil {
		return fmt.Errorf("restart %s: %w", client.ObjectKeyFromObject(next), err)
	}
	return nil
}

// credentialAnnotation is the annotation for a session's credential. Each session has its own, so
// that sessions that share a workload do not overwrite each other's.
func credentialAnnotation(session *v1alpha1.CoderSession) string {
	return v1alpha1.AnnotationRestartPrefix + session.Name
}
