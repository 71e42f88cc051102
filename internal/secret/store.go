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

// ErrForeign is the error of a write to a Secret that the session does not own (B23).
var ErrForeign = errors.New("the Secret belongs to somebody else")

// Writer is the part of a client that the Store writes with.
type Writer interface {
	// Create writes a Secret that is not there yet.
	Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error
	// Update replaces a Secret of the UID and resource version that obj has.
	Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error
	// Delete removes a Secret, if opts' preconditions hold.
	Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error
}

// Store reads and writes generated Secrets, and remembers what it wrote last until the
// cache has seen it. Make it with [NewStore]. It is safe for concurrent use; writes to
// one Secret are kept apart by their preconditions.
//
// Its errors wrap those of the API server, so that apierrors.IsConflict and its like
// tell them apart. A precondition that the Store itself finds broken is a conflict too.
type Store struct {
	contents client.Reader
	writer   Writer
	key      fingerprint.Key
	memory   memory
}

// NewStore returns a Store that reads contents live, past any cache, with contents.
func NewStore(contents client.Reader, writer Writer, key fingerprint.Key) *Store {
	return &Store{contents: contents, writer: writer, key: key, memory: newMemory()}
}

// Token reads the published token's value from the live Secret: the first of the keys
// session and CODER_SESSION_TOKEN whose value has the wanted fingerprint, so that an
// edit of one of them loses nothing (B24). False: the value is gone.
func (s *Store) Token(ctx context.Context, session *v1alpha1.CoderSession, want TokenMeta) (redact.Secret, bool, error) {
	live, err := s.read(ctx, session)
	if err != nil || live == nil {
		return redact.Secret{}, false, err
	}
	if ownership(&live.ObjectMeta, session) == Foreign {
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

// InSync reports whether the live Secret is what [Render] makes of in: the same data,
// owner and annotations of ours, at least the labels and annotations that are wanted.
// resourceVersion is that of the Secret that was looked at; empty: there is none.
// Errors are those of Render and of reading.
func (s *Store) InSync(ctx context.Context, in Input) (inSync bool, resourceVersion string, err error) {
	wanted, err := Render(s.key, in)
	if err != nil {
		return false, "", err
	}
	live, err := s.read(ctx, in.Session)
	if err != nil || live == nil {
		return false, "", err
	}
	inSync = ownership(&live.ObjectMeta, in.Session) == Owned && live.Type == wanted.Type &&
		maps.EqualFunc(live.Data, wanted.Data, func(a, b []byte) bool { return string(a) == string(b) }) &&
		unchanged(&live.ObjectMeta, merge(&live.ObjectMeta, &wanted.ObjectMeta))
	return inSync, live.ResourceVersion, nil
}

func unchanged(live *metav1.ObjectMeta, merged metav1.ObjectMeta) bool {
	return maps.Equal(live.Labels, merged.Labels) && maps.Equal(live.Annotations, merged.Annotations)
}

// read returns the live Secret of a session, nil where there is none. What it sees
// corrects what is remembered.
func (s *Store) read(ctx context.Context, session *v1alpha1.CoderSession) (*corev1.Secret, error) {
	key := keyOf(session)
	var live corev1.Secret
	err := s.contents.Get(ctx, key, &live)
	if apierrors.IsNotFound(err) {
		s.memory.seen(key, nil)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	s.memory.seen(key, &live.ObjectMeta)
	return &live, nil
}

func keyOf(session *v1alpha1.CoderSession) client.ObjectKey {
	return client.ObjectKey{Namespace: session.Namespace, Name: session.SecretName()}
}

// conflict is what the API server would have answered.
func conflict(key client.ObjectKey, what string) error {
	return apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, key.Name, errors.New(what))
}
