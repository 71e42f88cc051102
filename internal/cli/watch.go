// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// gatherDelay is how long changes are collected before they are shown, because they often come
	// in bursts.
	gatherDelay = 250 * time.Millisecond
	// refreshInterval is how often a terminal is updated while only the times change.
	refreshInterval = 10 * time.Second
	// clearScreen clears a terminal (ECMA-48: CUP, ED).
	clearScreen = "\x1b[H\x1b[2J"
)

// statusWatch implements status --watch. Each kind and namespace has a goroutine that updates the
// snapshot; another one shows it.
type statusWatch struct {
	*connector
	options statusOptions
	cluster *cluster
	scope   *scope
	changes chan struct{}

	mu       sync.Mutex
	snapshot *clusterSnapshot
}

// run shows the snapshot, and again after each change. It returns when ctx ends, or when the API
// server denies access.
func (w *statusWatch) run(ctx context.Context) error {
	w.changes = make(chan struct{}, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	var followers sync.WaitGroup
	defer followers.Wait()
	defer cancel(nil)
	for _, namespace := range w.scope.sessions {
		followers.Go(func() { cancel(followKind(ctx, w, sessionKind, selectNamespace(namespace), w.snapshot.sessions)) })
	}
	for _, namespace := range w.scope.deployments {
		followers.Go(func() {
			cancel(followKind(
				ctx, w, deploymentKind, selectNamespace(namespace), w.snapshot.deployments))
		})
	}
	if err := w.showChanges(ctx); err != nil {
		return newExitError(ExitIncomplete, "%w", err)
	}
	return nil
}

// showChanges shows the snapshot until ctx ends. If the output is not a terminal, it is written
// only if it differs from the last one. Elapsed times are not a difference, so both are rendered as
// of the same time.
func (w *statusWatch) showChanges(ctx context.Context) error {
	var last string
	for at := w.env.Clock.Now(); ; {
		if w.env.Terminal || w.render(at) != last {
			at = w.env.Clock.Now()
			last = w.render(at)
			if err := w.out.writeOut(last); err != nil {
				return fmt.Errorf("show the status: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.changes:
		case <-w.refreshTimer():
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.env.Clock.After(gatherDelay):
		}
	}
}

// refreshTimer fires when the times on a terminal have to be updated. It never fires if the output
// is not a terminal.
func (w *statusWatch) refreshTimer() <-chan time.Time {
	if !w.env.Terminal {
		return nil
	}
	return w.env.Clock.After(refreshInterval)
}

// render returns the status as text. On a terminal it replaces the previous one; elsewhere an empty
// line follows it.
func (w *statusWatch) render(now time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := buildDeploymentNodes(w.scope, w.snapshot)
	if w.options.name != "" {
		found = filterByName(found, w.options.name, w.scope.own)
	}
	text := w.renderTree(w.options, found, now)
	if w.env.Terminal {
		return clearScreen + text
	}
	return text + "\n"
}

// followKind watches the objects of a kind in a namespace, and updates the snapshot.
func followKind[T client.Object](
	ctx context.Context, w *statusWatch, kind objectKind[T], selected *client.ListOptions,
	objects map[types.NamespacedName]T,
) error {
	f := &follower[T]{
		cluster: w.cluster, kind: kind, selected: selected, clock: w.env.Clock, onUnreachable: w.reportUnreachable,
		onList: func(_ context.Context, found []T) (bool, error) {
			w.update(func() {
				maps.DeleteFunc(objects, func(key types.NamespacedName, _ T) bool {
					return selected.Namespace == "" || key.Namespace == selected.Namespace
				})
				for _, object := range found {
					objects[client.ObjectKeyFromObject(object)] = object
				}
			})
			return false, nil
		},
		onChange: func(_ context.Context, object T, gone bool) (bool, error) {
			w.update(func() {
				if gone {
					delete(objects, client.ObjectKeyFromObject(object))
				} else {
					objects[client.ObjectKeyFromObject(object)] = object
				}
			})
			return false, nil
		},
	}
	return f.run(ctx)
}

// update changes the snapshot and requests that it is shown.
func (w *statusWatch) update(write func()) {
	w.mu.Lock()
	write()
	w.mu.Unlock()
	select {
	case w.changes <- struct{}{}:
	default: // a request is pending already
	}
}
