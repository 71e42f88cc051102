// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// followSessions looks at the state of all sessions of the namespace and at every change of it, until it
// has seen the last that was waited for.
func (w *scaleEnv) followSessions(what string, last func(*v1alpha1.CoderSession) bool) {
	w.T.Helper()
	w.followSessionsFor(patience, what, last, client.InNamespace(w.Namespace))
}

// followSessionsFor is followSessions with another patience, and for the sessions that the options select.
func (w *scaleEnv) followSessionsFor(
	patience time.Duration, what string, last func(*v1alpha1.CoderSession) bool, options ...client.ListOption,
) {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(w.T.Context(), patience)
	defer cancel()
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	w.operator.Guard(ctx, abort)
	seen := "no session"
	found, err := false, error(nil)
	for ctx.Err() == nil && err == nil {
		found, err = w.followOnce(ctx, func(s *v1alpha1.CoderSession) bool {
			seen = fmt.Sprintf("%s: %+v", s.Name, s.Status.Conditions)
			return last(s)
		}, options)
		if found {
			return
		}
	}
	w.T.Fatalf("%v: %v: still not so: %s; last seen: %s\n%s", context.Cause(ctx), err, what, seen, w.operator.Output())
}

// followOnce lists the sessions, and watches them from there. A busy API server ends a watch every few seconds: it
// is resumed where it ended, because one that starts with all sessions takes as long as hundreds of their writes.
// It returns false if the API server does not know that state any more, or if the context has ended.
func (w *scaleEnv) followOnce(
	ctx context.Context, last func(*v1alpha1.CoderSession) bool, options []client.ListOption,
) (bool, error) {
	var sessions v1alpha1.CoderSessionList
	if err := w.watcher.List(ctx, &sessions, options...); err != nil {
		return false, err
	}
	for i := range sessions.Items {
		if last(&sessions.Items[i]) {
			return true, nil
		}
	}
	resumed := sessionWatch{client: w.watcher, options: options}
	changes, err := watchtools.NewRetryWatcherWithContext(ctx, sessions.ResourceVersion, resumed)
	if err != nil {
		return false, err
	}
	defer changes.Stop()
	for event := range changes.ResultChan() {
		if s, ok := event.Object.(*v1alpha1.CoderSession); ok && last(s) {
			return true, nil
		}
	}
	return false, nil
}

// sessionWatch watches the sessions that the options select.
type sessionWatch struct {
	client  client.WithWatch
	options []client.ListOption
}

// WatchWithContext starts a watch.
func (w sessionWatch) WatchWithContext(ctx context.Context, raw metav1.ListOptions) (watch.Interface, error) {
	return w.client.Watch(ctx, &v1alpha1.CoderSessionList{}, append([]client.ListOption{&client.ListOptions{Raw: &raw}},
		w.options...)...)
}
