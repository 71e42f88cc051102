// SPDX-License-Identifier: Apache-2.0

package fakeapi

import (
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// object is a pointer to one.
type object[T any] interface {
	*T
	client.Object
}

// Put stores an object as another client's write does, whatever is there, with the next version and
// a UID where it has none. It changes the argument so, and keeps a copy. Hooks are not called.
func (s *Server) Put(o client.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(objectID{kindOf(o), client.ObjectKeyFromObject(o)}, o)
}

// Remove removes an object as another client does, finalizers or not. Removing none is nothing.
func Remove[T any, P object[T]](s *Server, key client.ObjectKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(objectID{kindOf(P(new(T))), key})
}

// Stored is a copy of what is stored; nil: nothing.
func Stored[T any, P object[T]](s *Server, key client.ObjectKey) P {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, found := s.objects[objectID{kindOf(P(new(T))), key}]
	if !found {
		return nil
	}
	return stored.DeepCopyObject().(P)
}

// Edit changes a stored object as another client does, and gives it the next version. It panics
// where there is none.
func Edit[T any, P object[T]](s *Server, key client.ObjectKey, change func(P)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := objectID{kindOf(P(new(T))), key}
	stored := s.objects[id].(P)
	change(stored)
	s.store(id, stored)
}

// SetVersion sets the version of a stored object to any text.
func (s *Server) SetVersion(kind string, key client.ObjectKey, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := objectID{kind, key}
	s.objects[id].SetResourceVersion(version)
	s.cached[id] = version
}

// Clone is a server with copies of the objects, at the same version, without hooks.
func (s *Server) Clone() *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := New()
	out.version = s.version
	for id, o := range s.objects {
		out.objects[id] = o.DeepCopyObject().(client.Object)
		out.cached[id] = o.GetResourceVersion()
	}
	return out
}
