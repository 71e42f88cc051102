// SPDX-License-Identifier: Apache-2.0

package session

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// PodRefusals knows why the API server takes no sessions of pods, by the session with perPod that they are
// of. It may be lost at any time: the next attempt to create one says it again. Create it with
// [NewPodRefusals]. It is safe for concurrent use.
type PodRefusals struct {
	// changed is called with the parent whose pods are refused, and when they no longer are.
	changed func(parent types.NamespacedName)

	mu       sync.Mutex
	byParent map[types.NamespacedName]string
}

// NewPodRefusals returns PodRefusals without any.
func NewPodRefusals(changed func(parent types.NamespacedName)) *PodRefusals {
	return &PodRefusals{changed: changed, byParent: map[types.NamespacedName]string{}}
}

// Record remembers why the session of a pod was refused; empty: it was created.
func (r *PodRefusals) Record(parent types.NamespacedName, why string) {
	if r.set(parent, why) {
		r.changed(parent)
	}
}

func (r *PodRefusals) set(parent types.NamespacedName, why string) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed = r.byParent[parent] != why
	if r.byParent[parent] = why; why == "" {
		delete(r.byParent, parent)
	}
	return changed
}

// of returns why the API server takes no sessions of pods of a parent; empty: it does.
func (r *PodRefusals) of(parent types.NamespacedName) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byParent[parent]
}
