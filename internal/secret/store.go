// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// ErrForeign is returned for a write to a Secret that the session does not own (B23).
var ErrForeign = errors.New("the Secret does not belong to this session")

// Writer is the part of a client that the Store writes with.
type Writer interface {
	// Create creates a Secret that does not exist yet.
	Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error
	// Update replaces the Secret with the UID and resource version of obj.
	Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error
	// Delete deletes a Secret if the preconditions in opts hold.
	Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error
}

// Store reads and writes generated Secrets, and remembers its last writes until the cache has
// caught up. Create it with [NewStore]. It is safe for concurrent use; preconditions prevent
// conflicting writes.
//
// Its errors wrap those of the API server, so that apierrors.IsConflict and similar functions work.
// If the Store itself finds that a precondition does not hold, the error is a conflict too.
type Store struct {
	contents client.Reader
	writer   Writer
	key      fingerprint.Key
	memory   memory
}

// NewStore returns a Store that reads contents with contents, from the API server.
func NewStore(contents client.Reader, writer Writer, key fingerprint.Key) *Store {
	return &Store{contents: contents, writer: writer, key: key, memory: newMemory()}
}

// Token reads the published token's value from the API server: the first of the keys session and
// CODER_SESSION_TOKEN whose value has the wanted fingerprint, so that an edit of one of them loses
// nothing (B24). It returns false if the value is gone.
func (s *Store) Token(
	ctx context.Context, session *v1alpha1.CoderSession, want TokenMeta,
) (redact.Secret, bool, error) {
	live, err := s.readLive(ctx, session)
	if err != nil || live == nil {
		return redact.Secret{}, false, err
	}
	if ownershipOf(&live.ObjectMeta, session) == Foreign {
		return redact.Secret{}, false, nil
	}
	for _, key := range []string{KeySession, KeyEnvToken} {
		value := redact.New(string(live.Data[key]))
		if !value.Empty() && TokenFingerprint(s.key, value) == want.Fingerprint {
			return value, true, nil
		}
	}
	return redact.Secret{}, false, nil
}

// InSync reports whether the live Secret is what [Render] creates from in: the same data, owner and
// operator annotations, and at least the wanted labels and annotations. resourceVersion is that of
// the live Secret; it is empty if there is none. Errors are those of Render and of reading.
func (s *Store) InSync(ctx context.Context, in Input) (inSync bool, resourceVersion string, err error) {
	wanted, err := Render(s.key, in)
	if err != nil {
		return false, "", err
	}
	live, err := s.readLive(ctx, in.Session)
	if err != nil || live == nil {
		return false, "", err
	}
	inSync = ownershipOf(&live.ObjectMeta, in.Session) == Owned && live.Type == wanted.Type &&
		maps.EqualFunc(live.Data, wanted.Data, func(a, b []byte) bool { return string(a) == string(b) }) &&
		isUnchanged(&live.ObjectMeta, mergeMetadata(&live.ObjectMeta, &wanted.ObjectMeta))
	return inSync, live.ResourceVersion, nil
}

func isUnchanged(live *metav1.ObjectMeta, merged metav1.ObjectMeta) bool {
	return maps.Equal(live.Labels, merged.Labels) && maps.Equal(live.Annotations, merged.Annotations)
}

// readLive returns the Secret of a session from the API server, or nil if there is none. It
// corrects what is remembered.
func (s *Store) readLive(ctx context.Context, session *v1alpha1.CoderSession) (*corev1.Secret, error) {
	key := keyOf(session)
	var live corev1.Secret
	err := s.contents.Get(ctx, key, &live)
	if apierrors.IsNotFound(err) {
		s.memory.recordLive(key, nil)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	s.memory.recordLive(key, &live.ObjectMeta)
	return &live, nil
}

func keyOf(session *v1alpha1.CoderSession) client.ObjectKey {
	return client.ObjectKey{Namespace: session.Namespace, Name: session.SecretName()}
}

// newConflict returns the conflict that the API server would have returned.
func newConflict(key client.ObjectKey, what string) error {
	return apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, key.Name, errors.New(what))
}
