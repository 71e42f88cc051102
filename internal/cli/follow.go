package cli

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// follower shows a session as it is and then each change of it, without asking again and again. A connection that is lost is
// made anew.
type follower struct {
	cluster *cluster
	name    string
	clock   clock.Clock
	// see gets the session, or nil where there is none. It returns true, or an error, when it has seen enough.
	see func(context.Context, *v1alpha1.CoderSession) (bool, error)
	// lost is told, once for each time, that the API server cannot be reached.
	lost func(error)

	// known says that the session was read once, away that the API server was there and is not now.
	known, away bool
}

// enough is what see ended with.
type enough struct{ err error }

// Error returns the text of what see returned.
func (e *enough) Error() string { return "seen enough" }

// long is how long a watch lasts where nothing is wrong; after one the next is made without delay.
const long = time.Minute

// patience between tries, so that neither an API server that is away nor one that ends every watch is pressed.
func patience() wait.Backoff {
	return wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 6, Cap: 15 * time.Second}
}

// run returns what see returned; the cause of ctx; or the error of an API server that cannot be asked, or does not allow it.
func (f *follower) run(ctx context.Context) error {
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
			return unread(err)
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

// miss notes that the API server is away. One that has forgotten how the session was before is not.
func (f *follower) miss(err error) {
	if !f.away && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		f.away = true
		f.lost(err)
	}
}

// final reports whether trying again is of no use.
func final(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err)
}

// pass lists the session and watches it until the watch ends, which an API server does every few minutes.
func (f *follower) pass(ctx context.Context) error {
	// By name: a right to that one session is enough.
	options := &client.ListOptions{
		Namespace:     f.cluster.namespace,
		FieldSelector: fields.OneTermEqualSelector("metadata.name", f.name),
	}
	list := &v1alpha1.CoderSessionList{}
	if err := f.cluster.client.List(ctx, list, options); err != nil {
		return err
	}
	f.known = true
	var session *v1alpha1.CoderSession
	if len(list.Items) > 0 {
		session = &list.Items[0]
	}
	if err := f.show(ctx, session); err != nil {
		return err
	}
	options.Raw = &metav1.ListOptions{ResourceVersion: list.ResourceVersion}
	watcher, err := f.cluster.client.Watch(ctx, &v1alpha1.CoderSessionList{}, options)
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

func (f *follower) event(ctx context.Context, event watch.Event) error {
	switch event.Type {
	case watch.Error:
		return apierrors.FromObject(event.Object)
	case watch.Deleted:
		return f.show(ctx, nil)
	case watch.Added, watch.Modified:
		if session, ok := event.Object.(*v1alpha1.CoderSession); ok {
			return f.show(ctx, session)
		}
	}
	return nil
}

func (f *follower) show(ctx context.Context, session *v1alpha1.CoderSession) error {
	if done, err := f.see(ctx, session); done || err != nil {
		return &enough{err}
	}
	return nil
}
