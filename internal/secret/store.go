// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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
	manager  string
	memory   memory
}

// NewStore returns a Store that reads contents with contents, from the API server. The manager is the
// field manager that writer writes with.
func NewStore(contents client.Reader, writer Writer, key fingerprint.Key, manager string) *Store {
	return &Store{contents: contents, writer: writer, key: key, manager: manager, memory: newMemory()}
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
		if !value.Empty() && (MintedFingerprint(s.key, session.UID, value) == want.Fingerprint ||
			TokenFingerprint(s.key, value) == want.Fingerprint) {
			return value, true, nil
		}
	}
	return redact.Secret{}, false, nil
}

// Refresh reads the session's Secret from the API server, so that Observe no longer believes a write of this Store
// whose Secret is gone. It is for a Secret that the cache does not show although it was written a while ago: it may
// have been deleted before the Store had remembered the write.
func (s *Store) Refresh(ctx context.Context, session *v1alpha1.CoderSession) error {
	_, err := s.readLive(ctx, session)
	return err
}

// TokenValues reads from the API server what the keys session and CODER_SESSION_TOKEN hold, without
// repetitions and empty values. It is for a Secret whose annotations do not describe its token. A
// foreign Secret has none.
func (s *Store) TokenValues(ctx context.Context, session *v1alpha1.CoderSession) ([]redact.Secret, error) {
	live, err := s.readLive(ctx, session)
	if err != nil || live == nil || ownershipOf(&live.ObjectMeta, session) == Foreign {
		return nil, err
	}
	var values []redact.Secret
	for _, key := range []string{KeySession, KeyEnvToken} {
		value := redact.New(string(live.Data[key]))
		if !value.Empty() && !slices.ContainsFunc(values, value.Equal) {
			values = append(values, value)
		}
	}
	return values, nil
}

// Publishes reports whether the session's Secret publishes a token, by its annotations or its value.
func (s *Store) Publishes(ctx context.Context, session *v1alpha1.CoderSession, id string) (bool, error) {
	live, err := s.readLive(ctx, session)
	if err != nil || live == nil || live.DeletionTimestamp != nil || ownershipOf(&live.ObjectMeta, session) != Owned {
		return false, err
	}
	if token, _ := parseToken(live.Annotations); token != nil && token.ID == id {
		return true, nil
	}
	holds := func(key string) bool { return bytes.HasPrefix(live.Data[key], []byte(id+"-")) }
	return id != "" && (holds(KeySession) || holds(KeyEnvToken)), nil
}

// Comparison is how the live Secret differs from the wanted one. The zero value means that there is
// none.
type Comparison struct {
	// InSync means that the live Secret is what [Render] creates: the same data, owner and operator
	// annotations, and at least the wanted labels and annotations.
	InSync bool
	// ResourceVersion is that of the live Secret.
	ResourceVersion string
	// Writer is the field manager of another writer who changed the Secret last; empty: there is none, or
	// the API server does not say.
	Writer string
}

// Compare compares the live Secret with what [Render] creates from in. If in has the id of a token
// without its value, the Secret is not in sync. Errors are those of Render and of reading.
func (s *Store) Compare(ctx context.Context, in Input) (Comparison, error) {
	live, err := s.readLive(ctx, in.Session)
	if err != nil || live == nil {
		return Comparison{}, err
	}
	if in.Token.ID != "" && in.Token.Value.Reveal() == "" {
		return Comparison{ResourceVersion: live.ResourceVersion, Writer: s.otherWriter(live)}, nil
	}
	wanted, err := Render(s.key, in)
	if err != nil {
		return Comparison{}, err
	}
	keepCredential(live, wanted)
	s.keepTokenFingerprint(live, wanted, in.Token)
	inSync := ownershipOf(&live.ObjectMeta, in.Session) == Owned && live.Type == wanted.Type &&
		equalData(live.Data, wanted.Data) &&
		isUnchanged(&live.ObjectMeta, mergeMetadata(&live.ObjectMeta, &wanted.ObjectMeta))
	return Comparison{InSync: inSync, ResourceVersion: live.ResourceVersion, Writer: s.otherWriter(live)}, nil
}

// otherWriter returns the field manager of the other writer who changed a Secret last.
func (s *Store) otherWriter(live *corev1.Secret) string {
	var last metav1.ManagedFieldsEntry
	for _, entry := range live.ManagedFields {
		if entry.Manager != s.manager && (last.Time == nil || entry.Time != nil && last.Time.Before(entry.Time)) {
			last = entry
		}
	}
	return last.Manager
}

func equalData(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }

// keepCredential keeps the annotation of that name if the contents stay the same: it was written with
// another key then, and no reader has to read the Secret again.
func keepCredential(live, wanted *corev1.Secret) {
	if was := live.Annotations[v1alpha1.AnnotationCredential]; was != "" && equalData(live.Data, wanted.Data) {
		wanted.Annotations[v1alpha1.AnnotationCredential] = was
	}
}

// keepTokenFingerprint keeps the annotation of a minted token that versions up to 0.1 wrote, without the UID
// of the session, until the Secret is written for another reason.
func (s *Store) keepTokenFingerprint(live, wanted *corev1.Secret, token Token) {
	was := live.Annotations[v1alpha1.AnnotationTokenFingerprint]
	if token.Request != "" && was == TokenFingerprint(s.key, token.Value) {
		wanted.Annotations[v1alpha1.AnnotationTokenFingerprint] = was
	}
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
