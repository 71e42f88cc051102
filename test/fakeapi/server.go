// SPDX-License-Identifier: Apache-2.0

package fakeapi

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// firstVersion is near a power of ten, so that the number of digits changes soon: versions must not
// be compared as text.
const firstVersion = 98

// Verbs of requests.
const (
	Get    = "get"
	Create = "create"
	Update = "update"
	Delete = "delete"
)

// Request is what was asked of the server.
type Request struct {
	Verb string
	// Kind of the object, such as "Secret".
	Kind string
	Key  client.ObjectKey
	// Metadata is true for a read of metadata only.
	Metadata bool
}

// IsWrite reports whether the request changes something.
func (r Request) IsWrite() bool { return r.Verb != Get }

// Hook is called with a request. Its error is the answer.
type Hook func(Request) error

// objectID is what an object is found by.
type objectID struct {
	kind string
	key  client.ObjectKey
}

// Server is the API server. It is safe for concurrent use.
type Server struct {
	client.Reader // List is not served

	mu            sync.Mutex
	objects       map[objectID]client.Object
	cached        map[objectID]string // versions in the cache of metadata
	lagging       bool
	version       int
	requests      []Request
	before, after Hook
}

// New is a server with these objects.
func New(objects ...client.Object) *Server {
	s := &Server{objects: map[objectID]client.Object{}, cached: map[objectID]string{}, version: firstVersion}
	for _, object := range objects {
		s.Put(object)
	}
	return s
}

// Before sets the hook that is called before each request, without a lock: it may use the server.
// The request does not arrive if it returns an error. Nil: none.
func (s *Server) Before(hook Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = hook
}

// After sets the hook that is called after each write that succeeded, without a lock. Its error
// takes the place of the answer. Nil: none.
func (s *Server) After(hook Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = hook
}

// Requests are those that the server got, in their order, the failed ones included.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Writes are the verbs of the requests that change something.
func (s *Server) Writes() []string {
	var verbs []string
	for _, r := range s.Requests() {
		if r.IsWrite() {
			verbs = append(verbs, r.Verb)
		}
	}
	return verbs
}

// Reads is how often an object was read, by its name and kind. Reads of metadata do not count.
func (s *Server) Reads(kind, name string) int {
	n := 0
	for _, r := range s.Requests() {
		if !r.IsWrite() && !r.Metadata && r.Kind == kind && r.Key.Name == name {
			n++
		}
	}
	return n
}

// ForgetRequests empties what Requests returns.
func (s *Server) ForgetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// Get reads an object, or the metadata of one.
func (s *Server) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	r := Request{Verb: Get, Kind: kindOf(into), Key: key}
	meta, isMetadata := into.(*metav1.PartialObjectMetadata)
	r.Metadata = isMetadata
	if err := s.begin(r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, found := s.objects[objectID{r.Kind, key}]
	if !found {
		return apierrors.NewNotFound(resourceOf(r.Kind), key.Name)
	}
	if isMetadata {
		copyMetadata(stored, meta)
		return nil
	}
	copyObject(stored, into)
	return nil
}

// Create stores an object that is new.
func (s *Server) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	return s.write(Create, object, func(stored client.Object) error {
		resource, name := resourceOf(kindOf(object)), object.GetName()
		switch {
		case stored != nil:
			return apierrors.NewAlreadyExists(resource, name)
		case object.GetResourceVersion() != "":
			return apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
		case object.GetUID() != "":
			return apierrors.NewBadRequest("a UID of an object to be created")
		}
		return nil
	})
}

// Update replaces an object. It has to have the stored one's version.
func (s *Server) Update(_ context.Context, object client.Object, _ ...client.UpdateOption) error {
	return s.write(Update, object, func(stored client.Object) error {
		resource, name := resourceOf(kindOf(object)), object.GetName()
		switch {
		case stored == nil:
			return apierrors.NewNotFound(resource, name)
		case object.GetResourceVersion() == "":
			return apierrors.NewBadRequest("an update without a precondition")
		case object.GetResourceVersion() != stored.GetResourceVersion() || object.GetUID() != stored.GetUID():
			return apierrors.NewConflict(resource, name, errors.New("the object has been modified"))
		}
		return checkSecret(object, stored)
	})
}

// checkSecret refuses what may not change of a Secret.
func checkSecret(object, stored client.Object) error {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return nil
	}
	before, ok := stored.(*corev1.Secret)
	if ok && (secret.Type != before.Type || ptr.Deref(before.Immutable, false)) {
		return apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, secret.Name, nil)
	}
	return nil
}

// Delete removes an object, or marks one that has finalizers. It has to have preconditions of UID
// and version.
func (s *Server) Delete(_ context.Context, object client.Object, opts ...client.DeleteOption) error {
	r := Request{Verb: Delete, Kind: kindOf(object), Key: client.ObjectKeyFromObject(object)}
	if err := s.begin(r); err != nil {
		return err
	}
	var options client.DeleteOptions
	options.ApplyOptions(opts)
	if err := s.remove(objectID{r.Kind, r.Key}, options.Preconditions); err != nil {
		return err
	}
	return s.end(r)
}

func (s *Server) remove(id objectID, pre *metav1.Preconditions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, found := s.objects[id]
	switch {
	case !found:
		return apierrors.NewNotFound(resourceOf(id.kind), id.key.Name)
	case pre == nil || pre.UID == nil || pre.ResourceVersion == nil:
		return apierrors.NewBadRequest("a deletion without preconditions")
	case *pre.UID != stored.GetUID() || *pre.ResourceVersion != stored.GetResourceVersion():
		return apierrors.NewConflict(resourceOf(id.kind), id.key.Name, errors.New("the preconditions are not met"))
	}
	if len(stored.GetFinalizers()) > 0 {
		stored.SetDeletionTimestamp(ptr.To(metav1.Now()))
		s.store(id, stored)
		return nil
	}
	s.drop(id)
	return nil
}

// write checks and stores an object.
func (s *Server) write(verb string, object client.Object, check func(stored client.Object) error) error {
	r := Request{Verb: verb, Kind: kindOf(object), Key: client.ObjectKeyFromObject(object)}
	if err := s.begin(r); err != nil {
		return err
	}
	if err := s.checkAndStore(objectID{r.Kind, r.Key}, object, check); err != nil {
		return err
	}
	return s.end(r)
}

func (s *Server) checkAndStore(id objectID, object client.Object, check func(stored client.Object) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := check(s.objects[id]); err != nil {
		return err
	}
	s.store(id, object)
	return nil
}

// store gives an object the next version, and a UID where it has none, and keeps a copy.
func (s *Server) store(id objectID, object client.Object) {
	s.version++
	object.SetResourceVersion(strconv.Itoa(s.version))
	if object.GetUID() == "" {
		object.SetUID(types.UID("uid-" + object.GetResourceVersion()))
	}
	s.objects[id] = object.DeepCopyObject().(client.Object)
	if !s.lagging {
		s.cached[id] = object.GetResourceVersion()
	}
}

func (s *Server) drop(id objectID) {
	delete(s.objects, id)
	if !s.lagging {
		delete(s.cached, id)
	}
}

func (s *Server) begin(r Request) error {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	before := s.before
	s.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(r)
}

func (s *Server) end(r Request) error {
	s.mu.Lock()
	after := s.after
	s.mu.Unlock()
	if after == nil {
		return nil
	}
	return after(r)
}

// kindOf is the name of an object's type, or the kind that metadata says.
func kindOf(object client.Object) string {
	if meta, ok := object.(*metav1.PartialObjectMetadata); ok {
		return meta.Kind
	}
	return reflect.TypeOf(object).Elem().Name()
}

func resourceOf(kind string) schema.GroupResource {
	return schema.GroupResource{Resource: strings.ToLower(kind) + "s"}
}

// copyObject copies a stored object. Both are of one type.
func copyObject(stored, into client.Object) {
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(stored.DeepCopyObject()).Elem())
}

func copyMetadata(stored client.Object, into *metav1.PartialObjectMetadata) {
	accessor, ok := stored.(metav1.ObjectMetaAccessor)
	if !ok {
		panic(fmt.Sprintf("%T has no metadata", stored))
	}
	meta, ok := accessor.GetObjectMeta().(*metav1.ObjectMeta)
	if !ok {
		panic(fmt.Sprintf("%T has other metadata", stored))
	}
	meta.DeepCopyInto(&into.ObjectMeta)
}
