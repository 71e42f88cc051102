// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
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
