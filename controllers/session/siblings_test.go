// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// B151: what this process has created is forgotten with it, and is not taken for another of its name.
func TestSessionsThatWereCreatedAreForgotten(t *testing.T) {
	t.Parallel()
	b := NewSiblings()
	first, second := newWrittenSession(ofPod).Session, newWrittenSession(ofPod).Session
	first.Name, first.UID, second.Name, second.UID = "ci-1", "1", "ci-1", "2"
	key := client.ObjectKeyFromObject(first)
	if b.Created(first) {
		t.Error("nothing was created")
	}
	b.RecordCreated(first)
	if !b.Created(first) || b.Created(second) {
		t.Errorf("created %v", b.created)
	}
	b.RecordCreated(second)
	b.forget(key, true) // the first one is gone, and there is the second already
	if b.Created(first) || !b.Created(second) {
		t.Errorf("created %v", b.created)
	}
	b.forget(key, false)
	if b.Created(second) {
		t.Errorf("created %v", b.created)
	}
}
