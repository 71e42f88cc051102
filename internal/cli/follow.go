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

// follower lists objects and watches them, and reconnects when the watch or the connection ends.
type follower[T client.Object] struct {
	cluster *cluster
	kind    objectKind[T]
	// selected are the options of list and watch.
	selected *client.ListOptions
	clock    clock.Clock
	// onList is called with all objects after each list, onChange with each object that is changed
	// or deleted afterwards. They end run by returning true or an error.
	onList   func(context.Context, []T) (bool, error)
	onChange func(ctx context.Context, object T, gone bool) (bool, error)
	// onUnreachable is called once each time that the API server becomes unreachable.
	onUnreachable func(error)

	// hasListed says that a list has succeeded; unreachable, that the API server became
	// unreachable afterwards.
	hasListed, unreachable bool
}

// newFollower returns a follower of one object in the cluster's namespace. It calls see with the
// object, or with the zero T if it does not exist.
func newFollower[T client.Object](
	c *connector, cluster *cluster, kind objectKind[T], name string, see func(context.Context, T) (bool, error),
) *follower[T] {
	var none T
	return &follower[T]{
		cluster: cluster, kind: kind, selected: selectByName(cluster.namespace, name), clock: c.env.Clock,
		onUnreachable: c.reportUnreachable,
		onList: func(ctx context.Context, found []T) (bool, error) {
			if len(found) == 0 {
				return see(ctx, none)
			}
			return see(ctx, found[0])
		},
		onChange: func(ctx context.Context, object T, gone bool) (bool, error) {
			if gone {
				return see(ctx, none)
			}
			return see(ctx, object)
		},
	}
}

// reportUnreachable says that the API server cannot be reached.
func (c *connector) reportUnreachable(err error) {
	c.out.printErrf("The API server cannot be reached; trying again: %v", err)
}

// stopError wraps the result of onList or onChange that ends run.
type stopError struct{ err error }

// Error implements error. The text is not shown to people.
func (e *stopError) Error() string { return "stopped" }

// stableWatch is how long a watch has to last for the backoff to be reset.
const stableWatch = time.Minute

// newRetryBackoff returns the backoff between attempts. It limits the load on an API server that is
// down, or that ends every watch immediately.
func newRetryBackoff() wait.Backoff {
	return wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 6, Cap: 15 * time.Second}
}

// run returns the error of onList or onChange; the cause of ctx; or the error of an API server that
// cannot be reached or denies access.
func (f *follower[T]) run(ctx context.Context) error {
	pause := newRetryBackoff()
	for {
		begun := f.clock.Now()
		err := f.listAndWatch(ctx)
		var done *stopError
		switch {
		case errors.As(err, &done):
			return done.err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && (!f.hasListed || isPermanent(err)):
			return readError(f.kind.noun, err)
		case err != nil:
			f.noteUnreachable(err)
		}
		if f.clock.Since(begun) > stableWatch {
			pause = newRetryBackoff()
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

// noteUnreachable reports once that the API server is unreachable. An expired resource version only
// needs another list, so it is not reported.
func (f *follower[T]) noteUnreachable(err error) {
	if !f.unreachable && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		f.unreachable = true
		f.onUnreachable(err)
	}
}

// isPermanent reports whether a retry is useless.
func isPermanent(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err)
}

// listAndWatch lists the objects and watches them until the watch ends. API servers end watches
// every few minutes.
func (f *follower[T]) listAndWatch(ctx context.Context) error {
	found, version, err := f.kind.listAll(ctx, f.cluster.client, f.selected)
	if err != nil {
		return err
	}
	f.hasListed = true
	if err := stopIf(f.onList(ctx, found)); err != nil {
		return err
	}
	options := *f.selected
	options.Raw = &metav1.ListOptions{ResourceVersion: version}
	watcher, err := f.cluster.client.Watch(ctx, f.kind.newList(), &options)
	if err != nil {
		return err
	}
	defer watcher.Stop()
	f.unreachable = false
	for event := range watcher.ResultChan() {
		if err := f.handleEvent(ctx, event); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower[T]) handleEvent(ctx context.Context, event watch.Event) error {
	if event.Type == watch.Error {
		return apierrors.FromObject(event.Object)
	}
	object, ok := event.Object.(T)
	if !ok {
		return nil
	}
	return stopIf(f.onChange(ctx, object, event.Type == watch.Deleted))
}

// stopIf wraps a final result, so that run can tell it from an error of the API server.
func stopIf(done bool, err error) error {
	if done || err != nil {
		return &stopError{err}
	}
	return nil
}
