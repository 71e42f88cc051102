// SPDX-License-Identifier: Apache-2.0

package fakeapi

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Contents reads whole objects from the server, and refuses to read metadata.
func (s *Server) Contents() client.Reader { return contents{server: s} }

// Metadata reads metadata from the cache, and refuses to read whole objects.
func (s *Server) Metadata() client.Reader { return metadata{server: s} }

// SetCacheLag makes the cache of Metadata keep what it has, or lets it catch up.
func (s *Server) SetCacheLag(lagging bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lagging = lagging
	if lagging {
		return
	}
	clear(s.cached)
	for id, o := range s.objects {
		s.cached[id] = o.GetResourceVersion()
	}
}

type contents struct {
	client.Reader // List is not served
	server        *Server
}

func (c contents) Get(
	ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption,
) error {
	if _, ok := into.(*metav1.PartialObjectMetadata); ok {
		return errors.New("metadata was read from the API server")
	}
	return c.server.Get(ctx, key, into, opts...)
}

type metadata struct {
	client.Reader // List is not served
	server        *Server
}

// Get returns no more of an object than its version: that is all that a cache that lags behind is
// kept for.
func (m metadata) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	meta, ok := into.(*metav1.PartialObjectMetadata)
	if !ok {
		return errors.New("contents were read from the cache")
	}
	s, r := m.server, Request{Verb: Get, Kind: kindOf(into), Key: key, Metadata: true}
	if err := s.begin(r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	version, found := s.cached[objectID{r.Kind, key}]
	if !found {
		return apierrors.NewNotFound(resourceOf(r.Kind), key.Name)
	}
	meta.SetResourceVersion(version)
	return nil
}
