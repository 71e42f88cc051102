// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// Names of the cache indexes, with which an event handler finds the affected objects
// without listing all of them (B21).
const (
	// ByReference: deployments by the Secrets and ConfigMaps that they refer to.
	ByReference = "references"
	// ByDeployment: sessions by the deployment that they refer to.
	ByDeployment = "deployment"
	// bySecret: sessions by the name of their generated Secret, if it is not that of the session. Each entry of
	// an index takes half a kilobyte of memory.
	bySecret = "generatedSecret"
	// BySource: sessions by the name of the Secret that supplies their token.
	BySource = "sourceSecret"
	// ByTokenPrefix: sessions and deployments by the prefix of the names of their tokens.
	ByTokenPrefix = "tokenPrefix"
	// ByUser: sessions by the id of their Coder user.
	ByUser = "user"
	// ByParent: sessions of pods, and pods, by the session with perPod that they are of.
	ByParent = "parent"
	// ByPodSession: pods by the name of their own session.
	ByPodSession = "podSession"
)

// AddIndexes adds all indexes to a cache.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer, names inventory.Names) error {
	err := indexer.IndexField(ctx, &v1alpha1.CoderDeployment{}, ByReference, func(o client.Object) []string {
		references := authconfig.References(o.(*v1alpha1.CoderDeployment))
		keys := make([]string, 0, len(references))
		for _, r := range references {
			keys = append(keys, r.String())
		}
		return keys
	})
	if err != nil {
		return fmt.Errorf("index deployments: %w", err)
	}
	err = indexer.IndexField(ctx, &v1alpha1.CoderDeployment{}, ByTokenPrefix, func(o client.Object) []string {
		return []string{names.SessionPrefix(string(o.GetUID()))}
	})
	if err != nil {
		return fmt.Errorf("index deployments: %w", err)
	}
	for field, key := range map[string]func(*v1alpha1.CoderSession) string{
		bySecret:      otherSecretName,
		ByDeployment:  func(s *v1alpha1.CoderSession) string { return s.DeploymentKey().String() },
		BySource:      func(s *v1alpha1.CoderSession) string { return s.Spec.Auth.SuppliedSecretName() },
		ByTokenPrefix: func(s *v1alpha1.CoderSession) string { return names.SessionPrefix(string(s.UID)) },
		ByUser:        userID,
		ByParent:      func(s *v1alpha1.CoderSession) string { return podsession.Parent(s).Name },
	} {
		err := indexer.IndexField(ctx, &v1alpha1.CoderSession{}, field, func(o client.Object) []string {
			if value := key(o.(*v1alpha1.CoderSession)); value != "" {
				return []string{value}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("index sessions: %w", err)
		}
	}
	return nil
}

func otherSecretName(s *v1alpha1.CoderSession) string {
	if name := s.SecretName(); name != s.Name {
		return name
	}
	return ""
}

func userID(s *v1alpha1.CoderSession) string {
	if s.Status.User == nil {
		return ""
	}
	return s.Status.User.ID
}

// SessionsBy lists sessions by an index. The result is shared with the cache and must
// not be modified.
func SessionsBy(
	ctx context.Context, reader client.Reader, field, value string, options ...client.ListOption,
) ([]v1alpha1.CoderSession, error) {
	var list v1alpha1.CoderSessionList
	options = append(options, client.MatchingFields{field: value}, client.UnsafeDisableDeepCopy)
	if err := reader.List(ctx, &list, options...); err != nil {
		return nil, fmt.Errorf("list sessions by %s: %w", field, err)
	}
	return list.Items, nil
}

// SessionsOfSecret lists the sessions whose generated Secret, or whose grant's Secret, has a name. The result is
// shared with the cache and must not be modified. With an error it has those that were found.
func SessionsOfSecret(
	ctx context.Context, reader client.Reader, secret types.NamespacedName,
) ([]v1alpha1.CoderSession, error) {
	sessions, err := SessionsBy(ctx, reader, bySecret, secret.Name, client.InNamespace(secret.Namespace))
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Compact([]string{secret.Name, grant.SessionName(secret.Name)}) {
		s := v1alpha1.CoderSession{}
		err := reader.Get(ctx, types.NamespacedName{Namespace: secret.Namespace, Name: name}, &s,
			client.UnsafeDisableDeepCopy)
		if client.IgnoreNotFound(err) != nil {
			return sessions, fmt.Errorf("look for the session of Secret %s: %w", secret, err)
		}
		isIndexed := otherSecretName(&s) == secret.Name
		if err == nil && !isIndexed && (s.SecretName() == secret.Name || grant.SecretName(&s) == secret.Name) {
			sessions = append(sessions, s)
		}
	}
	return sessions, nil
}

// SessionsOf lists the sessions of a deployment. The result is shared with the cache and must not be
// modified.
func SessionsOf(
	ctx context.Context, reader client.Reader, deployment types.NamespacedName,
) ([]v1alpha1.CoderSession, error) {
	return SessionsBy(ctx, reader, ByDeployment, deployment.String())
}

// DeploymentsByReference lists the deployments that refer to an object. The result is shared with the
// cache and must not be modified.
func DeploymentsByReference(
	ctx context.Context, reader client.Reader, reference authconfig.Reference,
) ([]v1alpha1.CoderDeployment, error) {
	var list v1alpha1.CoderDeploymentList
	matching := client.MatchingFields{ByReference: reference.String()}
	if err := reader.List(ctx, &list, matching, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list deployments that refer to %s: %w", reference, err)
	}
	return list.Items, nil
}

// Metadata returns an empty object of the core group with which the client reads metadata only.
func Metadata(kind string) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	return object
}

// Keys returns the keys of sessions.
func Keys(sessions []v1alpha1.CoderSession) []types.NamespacedName {
	keys := make([]types.NamespacedName, len(sessions))
	for i := range sessions {
		keys[i] = client.ObjectKeyFromObject(&sessions[i])
	}
	return keys
}

// Namespace returns a session's namespace for the access rules of a deployment in the namespace home. It
// reads the labels only if these are two namespaces and the operator may read labels.
func Namespace(
	ctx context.Context, reader client.Reader, name, home string, labels bool,
) (deployment.Namespace, error) {
	ns := deployment.Namespace{Name: name, LabelsKnown: labels}
	if name == home || !labels {
		return ns, nil
	}
	object := Metadata("Namespace")
	if err := reader.Get(ctx, types.NamespacedName{Name: name}, object); err != nil {
		return ns, fmt.Errorf("read the labels of namespace %s: %w", name, err)
	}
	ns.Labels = object.Labels
	return ns, nil
}
