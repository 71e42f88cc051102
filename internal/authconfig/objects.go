// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// object is a Secret or ConfigMap as it was read. Nil stands for one that is absent.
type object struct {
	resourceVersion string
	data            map[string][]byte
}

// read reads each object that is wanted once, so that two values of one object are of one moment. An absent object is one
// fault that names all the keys that are wanted of it. The error is the API server's.
func (r *resolution) read(ctx context.Context, c client.Reader, wanted []want) error {
	keys := make(map[Reference][]string)
	for _, w := range wanted {
		if !slices.Contains(keys[w.ref], w.key) {
			keys[w.ref] = append(keys[w.ref], w.key)
		}
	}
	for _, w := range wanted {
		if _, done := r.objects[w.ref]; done {
			continue
		}
		found, err := readObject(ctx, c, w.ref)
		if err != nil {
			return fmt.Errorf("read %s: %w", w.ref, err)
		}
		if found == nil {
			r.faults.add(missing(want{ref: w.ref}, "does not exist: create it with "+quoted(keys[w.ref])))
		}
		r.objects[w.ref] = found
	}
	return nil
}

// readObject returns nil where there is no such object.
func readObject(ctx context.Context, c client.Reader, ref Reference) (*object, error) {
	key := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	var out *object
	var err error
	switch ref.Kind {
	case KindSecret:
		var found corev1.Secret
		err = c.Get(ctx, key, &found)
		out = &object{resourceVersion: found.ResourceVersion, data: found.Data}
	case KindConfigMap:
		var found corev1.ConfigMap
		err = c.Get(ctx, key, &found)
		out = &object{resourceVersion: found.ResourceVersion, data: configData(&found)}
	default:
		return nil, fmt.Errorf("%q is neither %s nor %s", ref.Kind, KindSecret, KindConfigMap)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// configData is the text and the binary data of a ConfigMap, whose keys do not overlap.
func configData(m *corev1.ConfigMap) map[string][]byte {
	out := make(map[string][]byte, len(m.Data)+len(m.BinaryData))
	for key, value := range m.Data {
		out[key] = []byte(value)
	}
	for key, value := range m.BinaryData {
		out[key] = value
	}
	return out
}

// value returns a value that was wanted. It reports false where there is none, which is a fault then.
func (r *resolution) value(w want) ([]byte, bool) {
	from := r.objects[w.ref]
	if from == nil { // a fault already, of the object as a whole
		return nil, false
	}
	raw, ok := from.data[w.key]
	if !ok {
		r.faults.add(missing(w, "is missing: add it to the "+w.ref.Kind))
	}
	return raw, ok
}

// quoted lists keys for a sentence.
func quoted(keys []string) string {
	if len(keys) == 1 {
		return `the key "` + keys[0] + `"`
	}
	return `the keys "` + strings.Join(keys, `" and "`) + `"`
}
