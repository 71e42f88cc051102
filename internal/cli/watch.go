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
	// gathering is how long changes are gathered before they are shown: many come together.
	gathering = 250 * time.Millisecond
	// refreshing is how often a terminal is brought up to date where nothing changes but the time.
	refreshing = 10 * time.Second
	// clearing makes a terminal empty (ECMA-48: CUP, ED).
	clearing = "\x1b[H\x1b[2J"
)

// watched is what status --watch shows. Followers write what was seen, one goroutine each, and another shows it.
type watched struct {
	*connector
	options statusOptions
	cluster *cluster
	scope   *scope
	changes chan struct{}

	mu   sync.Mutex
	seen *clusterSnapshot
}

// run shows what was seen, and shows it anew when something changes. It returns when ctx ends, or when it may look no more.
func (w *watched) run(ctx context.Context) error {
	w.changes = make(chan struct{}, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	var followers sync.WaitGroup
	defer followers.Wait()
	defer cancel(nil)
	for _, namespace := range w.scope.sessions {
		followers.Go(func() { cancel(keep(ctx, w, sessionKind, within(namespace), w.seen.sessions)) })
	}
	for _, namespace := range w.scope.deployments {
		followers.Go(func() { cancel(keep(ctx, w, deploymentKind, within(namespace), w.seen.deployments)) })
	}
	if err := w.show(ctx); err != nil {
		return exit(ExitUnseen, "%w", err)
	}
	return nil
}

// show shows what was seen until ctx ends. Where it is no terminal, a change that is not seen in the picture is no news; neither are
// the times in it, for which it is compared as of the time of the last one.
func (w *watched) show(ctx context.Context) error {
	var last string
	for at := w.env.Clock.Now(); ; {
		if w.env.Terminal || w.picture(at) != last {
			at = w.env.Clock.Now()
			last = w.picture(at)
			if err := w.out.write(last); err != nil {
				return fmt.Errorf("show the status: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.changes:
		case <-w.refresh():
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.env.Clock.After(gathering):
		}
	}
}

// refresh ends the wait of a terminal. Elsewhere a time that goes by is no news.
func (w *watched) refresh() <-chan time.Time {
	if !w.env.Terminal {
		return nil
	}
	return w.env.Clock.After(refreshing)
}

// picture is what is shown: in the place of what was there before, or after an empty line.
func (w *watched) picture(now time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := deploymentNodes(w.scope, w.seen, now)
	if w.options.name != "" {
		found = onlyNamed(found, w.options.name, w.scope.own)
	}
	text := w.drawn(w.options, found, now)
	if w.env.Terminal {
		return clearing + text
	}
	return text + "\n"
}

// keep follows the objects of a kind in a namespace, and writes how they are.
func keep[T client.Object](
	ctx context.Context, w *watched, kind kind[T], selected *client.ListOptions, seen map[types.NamespacedName]T,
) error {
	f := &follower[T]{
		cluster: w.cluster, kind: kind, selected: selected, clock: w.env.Clock, lost: w.lost,
		all: func(_ context.Context, found []T) (bool, error) {
			w.change(func() {
				maps.DeleteFunc(seen, func(key types.NamespacedName, _ T) bool {
					return selected.Namespace == "" || key.Namespace == selected.Namespace
				})
				for _, object := range found {
					seen[client.ObjectKeyFromObject(object)] = object
				}
			})
			return false, nil
		},
		changed: func(_ context.Context, object T, gone bool) (bool, error) {
			w.change(func() {
				if gone {
					delete(seen, client.ObjectKeyFromObject(object))
				} else {
					seen[client.ObjectKeyFromObject(object)] = object
				}
			})
			return false, nil
		},
	}
	return f.run(ctx)
}

// change writes what was seen, and lets it be shown.
func (w *watched) change(write func()) {
	w.mu.Lock()
	write()
	w.mu.Unlock()
	select {
	case w.changes <- struct{}{}:
	default: // it will be
	}
}
