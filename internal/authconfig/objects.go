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

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// object is a Secret or ConfigMap as it was read. Nil stands for an absent one.
type object struct {
	resourceVersion string
	data            map[string][]byte
	// generated is true for a Secret that the operator wrote for a session.
	generated bool
}

// readObjects reads each wanted object once, so that two values of one object are consistent. An
// absent object is one fault that lists all keys wanted from it. The error is the API server's.
func (r *resolution) readObjects(ctx context.Context, c client.Reader, wanted []want) error {
	keys := make(map[Reference][]string)
	for _, w := range wanted {
		if !slices.Contains(keys[w.ref], w.key) {
			keys[w.ref] = append(keys[w.ref], w.key)
		}
	}
	// What the operator generated is never a source (B132).
	for _, w := range wanted {
		if _, done := r.objects[w.ref]; done {
			continue
		}
		found, err := readObject(ctx, c, w.ref)
		if err != nil {
			return fmt.Errorf("read %s: %w", w.ref, err)
		}
		switch {
		case found == nil:
			r.faults.add(missingValue(want{ref: w.ref}, "does not exist: create it with "+quoteKeys(keys[w.ref])))
		case found.generated:
			r.faults.add(&ReferenceError{Reference: w.ref, Problem: "is what the operator wrote for a CoderSession, and is " +
				"not sent anywhere else: name a Secret of your own"})
			found = nil
		}
		r.objects[w.ref] = found
	}
	return nil
}

// readObject returns nil if the object does not exist.
func readObject(ctx context.Context, c client.Reader, ref Reference) (*object, error) {
	key := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	var out *object
	var err error
	switch ref.Kind {
	case KindSecret:
		var found corev1.Secret
		err = c.Get(ctx, key, &found)
		out = &object{
			resourceVersion: found.ResourceVersion, data: found.Data, generated: v1alpha1.IsGenerated(&found),
		}
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

// configData returns the text and the binary data of a ConfigMap, whose keys do not overlap.
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

// readValue returns a wanted value. If it does not exist, readValue adds a fault and returns false.
func (r *resolution) readValue(w want) ([]byte, bool) {
	from := r.objects[w.ref]
	if from == nil { // readObjects has added a fault for the whole object
		return nil, false
	}
	raw, ok := from.data[w.key]
	if !ok {
		r.faults.add(missingValue(w, "is missing: add it to the "+w.ref.Kind))
	}
	return raw, ok
}

// quoteKeys joins keys for a message.
func quoteKeys(keys []string) string {
	if len(keys) == 1 {
		return `the key "` + keys[0] + `"`
	}
	return `the keys "` + strings.Join(keys, `" and "`) + `"`
}
