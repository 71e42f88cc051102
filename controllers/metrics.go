// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// collectTimeout limits how long a collection of metrics waits for the cache, which may not be filled yet.
const collectTimeout = time.Second

// MetricSources returns what metrics are computed from whenever they are collected. Every replica has them,
// so that tokens are watched also while none leads. Sessions are read from reader, which is a cache.
func (c Controllers) MetricSources(
	ctx context.Context, reader client.Reader, leads func() bool, now clock.PassiveClock,
) metrics.Sources {
	return metrics.Sources{
		Now:         now.Now,
		Leads:       leads,
		Tokens:      func() []metrics.Token { return publishedTokens(ctx, reader) },
		WaitingPods: func() []metrics.WaitingPod { return c.waitingPods(ctx, reader) },
		Controllers: func() []metrics.Controller { return c.controllerStates(leads()) },
		Streams:     c.streamStates,
	}
}

// publishedTokens returns the tokens of all sessions, as status has them. Nil: the cache is not filled yet.
func publishedTokens(ctx context.Context, reader client.Reader) []metrics.Token {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	var list v1alpha1.CoderSessionList
	if err := reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	tokens := make([]metrics.Token, 0, len(list.Items))
	for i := range list.Items {
		renewal, end := session.TokenTimes(&list.Items[i])
		if end.IsZero() {
			continue
		}
		key := list.Items[i].DeploymentKey()
		tokens = append(tokens, metrics.Token{
			Namespace: key.Namespace, Deployment: key.Name, End: end, Renewal: renewal,
		})
	}
	return tokens
}

// waitingPods returns the pods whose session has not published a token yet, and those that have no session,
// if their parent exists. Nil: the operator serves no pods, or the cache is not filled yet.
func (c Controllers) waitingPods(ctx context.Context, reader client.Reader) (waiting []metrics.WaitingPod) {
	if _, serves := c.queues[podsName]; !serves {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	var pods corev1.PodList
	var list v1alpha1.CoderSessionList
	if reader.List(ctx, &pods, client.UnsafeDisableDeepCopy) != nil ||
		reader.List(ctx, &list, client.UnsafeDisableDeepCopy) != nil {
		return nil
	}
	sessions := make(map[types.NamespacedName]*v1alpha1.CoderSession, len(list.Items))
	for i := range list.Items {
		sessions[client.ObjectKeyFromObject(&list.Items[i])] = &list.Items[i]
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		own := sessions[types.NamespacedName{Namespace: pod.Namespace, Name: podsession.SessionName(pod)}]
		parent := sessions[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Labels[v1alpha1.LabelParent]}]
		served := own != nil && own.Status.Secret != nil
		if parent == nil || served || !podsession.Waits(pod) {
			continue
		}
		key := parent.DeploymentKey()
		waiting = append(waiting, metrics.WaitingPod{
			Namespace: key.Namespace, Deployment: key.Name, Created: pod.CreationTimestamp.Time,
		})
	}
	return waiting
}

func (c Controllers) controllerStates(leads bool) []metrics.Controller {
	states := make([]metrics.Controller, 0, len(c.queues))
	for name, w := range c.queues {
		load := w.fairQueue.Load()
		states = append(states, metrics.Controller{
			Name: name, ProgressTime: w.progress.LastTime(leads), Waiting: load.Waiting, Namespaces: load.Namespaces,
			LargestShare: load.LargestShare,
		})
	}
	return states
}

func (c Controllers) streamStates() map[string]int {
	counts := map[string]int{}
	for state, count := range c.streams.States() {
		counts[string(state)] = count
	}
	return counts
}
