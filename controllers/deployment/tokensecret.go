// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
)

// tokenSecretRead is what was read of the Secret of the operator's own token, and of which version.
type tokenSecretRead struct {
	uid     types.UID
	version string
	found   deployment.TokenSecret
}

// observeTokenSecret returns what renewal depends on in the Secret of the operator's own token. The
// cache has neither its contents nor its field managers, so it is read from the API server, once for
// each of its versions.
func (r *Reconciler) observeTokenSecret(
	ctx context.Context, s *scope, cached *metav1.PartialObjectMetadata,
) (deployment.TokenSecret, error) {
	known := s.memory.tokenSecret
	if known.uid == cached.UID && known.version == cached.ResourceVersion {
		return known.found, nil
	}
	object := &corev1.Secret{}
	if err := r.o.APIReader.Get(ctx, tokenKey(s.object), object); err != nil {
		return deployment.TokenSecret{}, client.IgnoreNotFound(err)
	}
	found := deployment.TokenSecret{Immutable: object.Immutable != nil && *object.Immutable}
	if owner := metav1.GetControllerOf(object); owner != nil {
		found.Controller = fmt.Sprintf("%s %q", owner.Kind, owner.Name)
	}
	writer := lastDataWriter(object.ManagedFields, s.object.Spec.Token.SecretRef.DataKey())
	if writer != r.o.FieldOwner {
		found.Writer = writer
	}
	s.memory.tokenSecret = tokenSecretRead{uid: cached.UID, version: cached.ResourceVersion, found: found}
	return found, nil
}

// warnOfObstacle records a Warning if something has come in the way of the renewal of the operator's
// own token that a person has to remove.
func (r *Reconciler) warnOfObstacle(after *v1alpha1.CoderDeployment, before []metav1.Condition) {
	for _, transition := range status.Transitions(before, after.Status.Conditions) {
		if now := transition.After; now != nil && now.Type == v1alpha1.ConditionTokenRenewed &&
			slices.Contains(deployment.RenewalObstacles(), now.Reason) {
			r.o.Status.Warn(after, now.Reason, "Renew", now.Message)
		}
	}
}

// lastDataWriter returns the field manager that has last written a key of a Secret's data; empty: it
// is not known.
func lastDataWriter(managed []metav1.ManagedFieldsEntry, key string) string {
	manager := ""
	var last time.Time
	for _, entry := range managed {
		var at time.Time
		if entry.Time != nil {
			at = entry.Time.Time
		}
		if ownsDataKey(entry.FieldsV1, key) && !at.Before(last) {
			manager, last = entry.Manager, at
		}
	}
	return manager
}

// ownsDataKey reports whether a set of fields has a key of a Secret's data.
func ownsDataKey(fields *metav1.FieldsV1, key string) bool {
	if fields == nil {
		return false
	}
	var set struct {
		Data map[string]json.RawMessage `json:"f:data"`
	}
	if err := json.Unmarshal(fields.GetRawBytes(), &set); err != nil {
		return false
	}
	_, owned := set.Data["f:"+key]
	return owned
}

// isBeforeRenewal reports whether settings were read before a renewed token was stored, because the
// cache lags behind.
func (s *scope) isBeforeRenewal(snapshot *authconfig.Snapshot) bool {
	token := s.object.Spec.Token
	if token == nil || string(token.SecretRef.Name) != s.memory.storedIn {
		return false
	}
	secret := authconfig.Reference{
		Kind: authconfig.KindSecret, Namespace: s.key.Namespace, Name: s.memory.storedIn,
	}
	order, err := resourceversion.CompareResourceVersion(snapshot.Sources[secret], s.memory.storedVersion)
	return err == nil && order < 0
}
