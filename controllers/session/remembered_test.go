// SPDX-License-Identifier: Apache-2.0

package session_test

import (
	"reflect"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// What is remembered of a session between passes keeps none of what a pass has read: with thousands of
// sessions, a copy of each and of its deployment.
func TestNothingThatAPassHasReadIsKept(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	w.Put(w.NewMintedSession("ci", testenv.MachineUser))
	w.Pass("ci")
	memory, found := w.Controllers.Sessions.Remembered(w.Key("ci"))
	if !found || memory.Of(v1alpha1.AuthMint) == nil {
		t.Fatal("nothing is remembered")
	}
	read := []reflect.Type{
		reflect.TypeFor[session.Scope](),
		reflect.TypeFor[v1alpha1.CoderSession](), reflect.TypeFor[v1alpha1.CoderDeployment](),
	}
	reachable := map[reflect.Type]bool{}
	addReachable(reachable, reflect.ValueOf(memory))
	for _, kept := range read {
		if reachable[kept] {
			t.Errorf("a %s is kept", kept)
		}
	}
	if len(reachable) < 10 {
		t.Errorf("the memory was not searched: %v", reachable)
	}
}

// addReachable adds the types of all values that a value keeps. Of pointers of one type it follows the first.
func addReachable(found map[reflect.Type]bool, v reflect.Value) {
	if !v.IsValid() || v.Kind() == reflect.Pointer && (v.IsNil() || found[v.Type()]) {
		return
	}
	found[v.Type()] = true
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		addReachable(found, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			addReachable(found, v.Field(i))
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			addReachable(found, entries.Value())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			addReachable(found, v.Index(i))
		}
	default: // keeps nothing else
	}
}
