// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
)

// Names of the cache indexes, with which an event handler finds the affected objects
// without listing all of them (B21).
const (
	// byReference: deployments by the Secrets and ConfigMaps that they refer to.
	byReference = "references"
	// byDeployment: sessions by the deployment that they refer to.
	byDeployment = "deployment"
	// bySecret: sessions by the names of their generated Secret and of their grant's Secret.
	bySecret = "generatedSecret"
	// bySource: sessions by the name of the Secret that supplies their token.
	bySource = "sourceSecret"
	// byTokenPrefix: sessions and deployments by the prefix of the names of their tokens.
	byTokenPrefix = "tokenPrefix"
	// byUser: sessions by the id of their Coder user.
	byUser = "user"
)

func addIndexes(ctx context.Context, indexer client.FieldIndexer, names inventory.Names) error {
	err := indexer.IndexField(ctx, &v1alpha1.CoderDeployment{}, byReference, func(o client.Object) []string {
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
	err = indexer.IndexField(ctx, &v1alpha1.CoderDeployment{}, byTokenPrefix, func(o client.Object) []string {
		return []string{names.SessionPrefix(string(o.GetUID()))}
	})
	if err != nil {
		return fmt.Errorf("index deployments: %w", err)
	}
	err = indexer.IndexField(ctx, &v1alpha1.CoderSession{}, bySecret, func(o client.Object) []string {
		s := o.(*v1alpha1.CoderSession)
		return []string{s.SecretName(), grant.SecretName(s)}
	})
	if err != nil {
		return fmt.Errorf("index sessions: %w", err)
	}
	for field, key := range map[string]func(*v1alpha1.CoderSession) string{
		byDeployment:  func(s *v1alpha1.CoderSession) string { return s.DeploymentKey().String() },
		bySource:      sourceName,
		byTokenPrefix: func(s *v1alpha1.CoderSession) string { return names.SessionPrefix(string(s.UID)) },
		byUser:        userID,
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

func sourceName(s *v1alpha1.CoderSession) string {
	if s.Spec.Auth.Token == nil {
		return ""
	}
	return string(s.Spec.Auth.Token.SecretRef.Name)
}

func userID(s *v1alpha1.CoderSession) string {
	if s.Status.User == nil {
		return ""
	}
	return s.Status.User.ID
}

// sessionsBy lists sessions by an index. The result is shared with the cache and must
// not be modified.
func sessionsBy(
	ctx context.Context, reader client.Reader, field, value string, options ...client.ListOption,
) ([]v1alpha1.CoderSession, error) {
	var list v1alpha1.CoderSessionList
	options = append(options, client.MatchingFields{field: value}, client.UnsafeDisableDeepCopy)
	if err := reader.List(ctx, &list, options...); err != nil {
		return nil, fmt.Errorf("list sessions by %s: %w", field, err)
	}
	return list.Items, nil
}

func sessionsOf(
	ctx context.Context, reader client.Reader, deployment types.NamespacedName,
) ([]v1alpha1.CoderSession, error) {
	return sessionsBy(ctx, reader, byDeployment, deployment.String())
}
