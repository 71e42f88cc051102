// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// writeConverted writes converted objects to the cluster. An error with one of them does not stop the
// others.
func (c *connector) writeConverted(
	ctx context.Context, cluster *cluster, objects []*unstructured.Unstructured,
) error {
	if err := c.requireCurrentFields(ctx, cluster); err != nil {
		return err
	}
	failed := false
	for _, object := range objects {
		if object.GroupVersionKind().GroupVersion() != v1alpha1.GroupVersion {
			continue
		}
		if object.GetNamespace() == "" {
			object.SetNamespace(cluster.namespace)
		}
		if err := c.writeObject(ctx, cluster.client, object); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			failed = true
			c.out.printErrf("error: %s: %v", describeObject(object), err)
		}
	}
	if failed {
		return silentExit(ExitFailed)
	}
	return nil
}

// servedTries is how often, once a second, the API server is asked for the fields of CRDs that may have been
// installed just now.
const servedTries = 15

// requireCurrentFields returns an error if the CRDs are not those of this version.
func (c *connector) requireCurrentFields(ctx context.Context, cluster *cluster) error {
	for try := 1; ; try++ {
		current, err := cluster.servesCurrentFields(ctx)
		switch {
		case err != nil || current:
			return err
		case try == servedTries:
			return newExitError(ExitBlocked, "the cluster has the CRDs of a former version, under which the present names "+
				"would be dropped: install those of this version first")
		case try == 1:
			c.out.printErrf("The CRDs of this version are not served yet; waiting...")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.env.Clock.After(time.Second):
		}
	}
}

// writeObject writes what the stored object lacks of the converted one. Status comes first, so that a run
// that was interrupted in between finds the spec to write.
func (c *connector) writeObject(ctx context.Context, kube client.Client, converted *unstructured.Unstructured) error {
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(converted.GroupVersionKind())
	err := kube.Get(ctx, client.ObjectKeyFromObject(converted), stored)
	if apierrors.IsNotFound(err) {
		return errors.New("it does not exist: kubectl apply creates it")
	}
	if err != nil {
		return err
	}
	if uid := converted.GetUID(); uid != "" && uid != stored.GetUID() {
		return errors.New("it was deleted and created again: compare it with the file")
	}
	spec := missingSpec(stored.Object, converted.Object)
	status := c.missingStatus(stored, converted, spec != nil)
	for _, part := range []struct {
		field, subresource string
		values             map[string]any
	}{{"status", "status", status}, {"spec", "", spec}} {
		if part.values == nil {
			continue
		}
		if err := patchObject(ctx, kube, stored, part.subresource, map[string]any{part.field: part.values}); err != nil {
			return err
		}
		c.out.printOut(fmt.Sprintf("%s: %s written", describeObject(stored), part.field))
	}
	if spec == nil && status == nil {
		c.out.printErrf("%s: nothing to write", describeObject(stored))
	}
	return nil
}

// missingSpec returns the part of the spec to write; nil: none.
func missingSpec(stored, converted map[string]any) map[string]any {
	spec := map[string]any{}
	if paused, _, _ := unstructured.NestedBool(converted, "spec", "paused"); paused {
		if _, found, _ := unstructured.NestedBool(stored, "spec", "paused"); !found {
			spec["paused"] = true
		}
	}
	if rules := namedRules(stored, converted); rules != nil {
		spec["access"] = rules
	}
	if len(spec) == 0 {
		return nil
	}
	return spec
}

// namedRules returns the stored access rules with the names of the converted ones, or names by their place
// where these are other rules; nil: none lacks a name.
func namedRules(stored, converted map[string]any) []any {
	rules, _, _ := unstructured.NestedSlice(stored, "spec", "access") // a copy
	named := map[string]any{"spec": map[string]any{"access": rules}}
	names := mapsAt(converted, "spec.access[]")
	complete := true
	for i, rule := range mapsAt(named, "spec.access[]") {
		if _, found := rule["name"]; found {
			continue
		}
		complete = false
		if i < len(names) && equalRules(rule, names[i]) {
			rule["name"] = names[i]["name"]
		}
	}
	if complete {
		return nil
	}
	nameAccessRules(named)
	return rules
}

// missingStatus returns the part of the status to write; nil: none. writesSpec says that the generation
// will be the next one.
func (c *connector) missingStatus(stored, converted *unstructured.Unstructured, writesSpec bool) map[string]any {
	status, _, _ := unstructured.NestedMap(converted.Object, "status")
	if len(status) == 0 {
		return nil
	}
	if version := converted.GetResourceVersion(); version == "" || version != stored.GetResourceVersion() {
		c.out.printErrf("%s: it was changed since it was read, so its status is left as it is", describeObject(stored))
		return nil
	}
	current, _, _ := unstructured.NestedMap(stored.Object, "status")
	missing := missingValues(current, status)
	if writesSpec {
		missing = followGeneration(missing, current, stored.GetGeneration())
	}
	return missing
}

// followGeneration makes what status says of a generation say it of the next one.
func followGeneration(missing, current map[string]any, generation int64) map[string]any {
	if missing == nil {
		missing = map[string]any{}
	}
	if seen, _, _ := unstructured.NestedInt64(current, "observedGeneration"); seen == generation {
		missing["observedGeneration"] = generation + 1
	}
	if retired, _, _ := unstructured.NestedInt64(current, "retirement", "generation"); retired == generation {
		_ = unstructured.SetNestedField(missing, generation+1, "retirement", "generation")
	}
	return missing
}

// patchObject patches an object, or a subresource of it, if it is still as it was read.
func patchObject(
	ctx context.Context, kube client.Client, object *unstructured.Unstructured, subresource string,
	patch map[string]any,
) error {
	patch["metadata"] = map[string]any{"resourceVersion": object.GetResourceVersion()}
	text, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	change := client.RawPatch(types.MergePatchType, text)
	if subresource == "" {
		return kube.Patch(ctx, object, change, fieldOwner)
	}
	return kube.SubResource(subresource).Patch(ctx, object, change, fieldOwner)
}
