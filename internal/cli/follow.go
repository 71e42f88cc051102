// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// follower shows objects as they are and then each change of them, without asking again and again. A connection that is lost
// is made anew.
type follower[T client.Object] struct {
	cluster *cluster
	kind    kind[T]
	// selected are the objects that are followed.
	selected *client.ListOptions
	clock    clock.Clock
	// all gets every object, changed each that is another one now, or is gone. They return true, or an error, when they have
	// seen enough.
	all     func(context.Context, []T) (bool, error)
	changed func(ctx context.Context, object T, gone bool) (bool, error)
	// lost is told, once for each time, that the API server cannot be reached.
	lost func(error)

	// known says that the objects were read once, away that the API server was there and is not now.
	known, away bool
}

// follow makes a follower of the one object of that name in the cluster's namespace. See gets it, or the zero T where there is
// none.
func follow[T client.Object](c *connector, cluster *cluster, kind kind[T], name string, see func(context.Context, T) (bool, error)) *follower[T] {
	var none T
	return &follower[T]{
		cluster: cluster, kind: kind, selected: named(cluster.namespace, name), clock: c.env.Clock, lost: c.lost,
		all: func(ctx context.Context, found []T) (bool, error) {
			if len(found) == 0 {
				return see(ctx, none)
			}
			return see(ctx, found[0])
		},
		changed: func(ctx context.Context, object T, gone bool) (bool, error) {
			if gone {
				return see(ctx, none)
			}
			return see(ctx, object)
		},
	}
}

// lost says that the API server cannot be reached.
func (c *connector) lost(err error) {
	c.out.printf("The API server cannot be reached; trying again: %v", err)
}

// enough is what all or changed ended with.
type enough struct{ err error }

// Error returns a text that nobody reads.
func (e *enough) Error() string { return "seen enough" }

// long is how long a watch lasts where nothing is wrong; after one the next is made without delay.
const long = time.Minute

// patience between tries, so that neither an API server that is away nor one that ends every watch is pressed.
func patience() wait.Backoff {
	return wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 6, Cap: 15 * time.Second}
}

// run returns what all or changed returned; the cause of ctx; or the error of an API server that cannot be asked, or does not allow it.
func (f *follower[T]) run(ctx context.Context) error {
	pause := patience()
	for {
		begun := f.clock.Now()
		err := f.pass(ctx)
		var done *enough
		switch {
		case errors.As(err, &done):
			return done.err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && (!f.known || final(err)):
			return unread(f.kind.noun, err)
		case err != nil:
			f.miss(err)
		}
		if f.clock.Since(begun) > long {
			pause = patience()
		}
		timer := f.clock.NewTimer(pause.Step())
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C():
		}
	}
}

// miss notes that the API server is away. One that has forgotten how the objects were before is not.
func (f *follower[T]) miss(err error) {
	if !f.away && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		f.away = true
		f.lost(err)
	}
}

// final reports whether trying again is of no use.
func final(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err)
}

// pass lists the objects and watches them until the watch ends, which an API server does every few minutes.
func (f *follower[T]) pass(ctx context.Context) error {
	found, version, err := f.kind.read(ctx, f.cluster.client, f.selected)
	if err != nil {
		return err
	}
	f.known = true
	if err := seen(f.all(ctx, found)); err != nil {
		return err
	}
	options := *f.selected
	options.Raw = &metav1.ListOptions{ResourceVersion: version}
	watcher, err := f.cluster.client.Watch(ctx, f.kind.list(), &options)
	if err != nil {
		return err
	}
	defer watcher.Stop()
	f.away = false
	for event := range watcher.ResultChan() {
		if err := f.event(ctx, event); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower[T]) event(ctx context.Context, event watch.Event) error {
	if event.Type == watch.Error {
		return apierrors.FromObject(event.Object)
	}
	object, ok := event.Object.(T)
	if !ok {
		return nil
	}
	return seen(f.changed(ctx, object, event.Type == watch.Deleted))
}

// seen tells the end of looking from the errors of asking.
func seen(done bool, err error) error {
	if done || err != nil {
		return &enough{err}
	}
	return nil
}
