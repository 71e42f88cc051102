// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// watcher sees every change of the sessions, including short ones that polling would miss.
type watcher struct {
	watch   watch.Interface
	stopped atomic.Bool
	done    chan struct{}
	left    []string // what was seen not Ready; complete once done is closed
}

// watchReady notes when one of the sessions is not Ready.
func (d *demo) watchReady(ctx context.Context, names []string) (*watcher, error) {
	stream, err := d.client.Watch(ctx, &v1alpha1.CoderSessionList{}, client.InNamespace(namespace))
	if err != nil {
		return nil, fmt.Errorf("watch the sessions: %w", err)
	}
	w := &watcher{watch: stream, done: make(chan struct{})}
	go w.followSessions(names)
	return w, nil
}

func (w *watcher) followSessions(names []string) {
	defer close(w.done)
	for event := range w.watch.ResultChan() {
		object, ok := event.Object.(*v1alpha1.CoderSession)
		if !ok {
			// A watch that is stopped ends with an error event, too.
			if !w.stopped.Load() {
				w.left = append(w.left, fmt.Sprintf("the watch ended: %v", event.Object))
			}
			continue
		}
		c := readyCondition(object.Status.Conditions)
		if slices.Contains(names, object.Name) && c.Status != metav1.ConditionTrue {
			w.left = append(w.left, describeCondition("CoderSession "+object.Name, c))
		}
	}
}

// stop ends the watch and returns what was seen. It may be called more than once.
func (w *watcher) stop() []string {
	w.stopped.Store(true)
	w.watch.Stop()
	<-w.done
	return w.left
}
