// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// AddPodIndexes adds the indexes of pods, for an operator that serves pods.
func AddPodIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for field, key := range map[string]func(*corev1.Pod) string{
		ByParent:     func(p *corev1.Pod) string { return p.Labels[v1alpha1.LabelParent] },
		ByPodSession: podsession.SessionName,
	} {
		err := indexer.IndexField(ctx, &corev1.Pod{}, field, func(o client.Object) []string {
			if value := key(o.(*corev1.Pod)); value != "" {
				return []string{value}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("index pods: %w", err)
		}
	}
	return nil
}

// PodsBy lists pods by an index. The result is shared with the cache and must not be modified.
func PodsBy(ctx context.Context, reader client.Reader, namespace, field, value string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := reader.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{field: value},
		client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list pods by %s: %w", field, err)
	}
	return list.Items, nil
}

// PodsOf are the pods of a session with perPod.
type PodsOf struct {
	// Sessions of pods, also those that are being deleted. They are shared with the cache.
	Sessions []v1alpha1.CoderSession
	// Waiting are the pods that have no session, oldest first, and the name that it would have. A pod that
	// has the name of another one, which is a mistake, waits for nothing.
	Waiting []WaitingPod
}

// WaitingPod is a pod that waits for a session of its own.
type WaitingPod struct {
	podsession.Pod
	SessionName string
}

// PodsOfSession returns the pods of a session with perPod.
func PodsOfSession(ctx context.Context, reader client.Reader, parent types.NamespacedName) (PodsOf, error) {
	sessions, err := SessionsBy(ctx, reader, ByParent, parent.Name, client.InNamespace(parent.Namespace))
	if err != nil {
		return PodsOf{}, err
	}
	taken := make(map[string]bool, len(sessions))
	for i := range sessions {
		taken[sessions[i].Name] = true
	}
	pods, err := PodsBy(ctx, reader, parent.Namespace, ByParent, parent.Name)
	if err != nil {
		return PodsOf{}, err
	}
	found := PodsOf{Sessions: sessions}
	for i := range pods {
		if pod := &pods[i]; podsession.Waits(pod) && !taken[podsession.SessionName(pod)] {
			found.Waiting = append(found.Waiting, WaitingPod{podsession.PodOf(pod), podsession.SessionName(pod)})
		}
	}
	podsession.SortOldest(found.Waiting, func(w WaitingPod) podsession.Pod { return w.Pod })
	found.Waiting = slices.DeleteFunc(found.Waiting, func(w WaitingPod) bool {
		defer func() { taken[w.SessionName] = true }()
		return taken[w.SessionName]
	})
	return found, nil
}
