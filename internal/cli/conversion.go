// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"maps"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// rename is a field that has another name than in versions before 0.2.0.
type rename struct {
	// parent is the path of the object that the field is in, by present names. A part with [] is a list
	// of such objects.
	parent         string
	former, actual string
}

// deploymentKindName is the kind of a CoderDeployment.
const deploymentKindName = "CoderDeployment"

// renames of each kind. What is renamed before what is in it comes first.
var renames = map[string][]rename{
	v1alpha1.KindCoderSession: {
		{"spec", "suspend", "paused"},
		{"status", "activeSince", "lastActivityTime"},
		{"status", "retiring", "pendingRevocations"},
		{"status.pendingRevocations[]", "revokeAfter", "revokeTime"},
		{"status.token", "issuedAt", "issueTime"},
		{"status.token", "expiresAt", "expirationTime"},
		{"status.token", "lastUsedAt", "lastUsedTime"},
		{"status.authorization", "expiresAt", "expirationTime"},
		{"status.suspension", "since", "startTime"},
		{"status.retirement", "since", "startTime"},
		{"status.retirement", "lastActive", "lastActiveTime"},
	},
	deploymentKindName: {
		{"status", "tokenExpiresAt", "tokenExpirationTime"},
		{"status", "clientCertificateNotAfter", "clientCertificateExpirationTime"},
	},
}

// convertFields gives the fields of an object their present names, and names to access rules that have
// none. It returns what it changed, for people. It changes nothing of an object that is converted
// already.
func convertFields(object *unstructured.Unstructured) []string {
	if object.GroupVersionKind().GroupVersion() != v1alpha1.GroupVersion {
		return nil
	}
	var changes []string
	for _, r := range renames[object.GetKind()] {
		changes = append(changes, r.apply(object.Object)...)
	}
	switch object.GetKind() {
	case deploymentKindName:
		return append(changes, nameAccessRules(object.Object)...)
	case v1alpha1.KindCoderSession:
		return append(changes, completeRetirement(object.Object)...)
	}
	return changes
}

// apply renames the field wherever it is. A value that the present name has already is kept.
func (r rename) apply(object map[string]any) []string {
	renamed := false
	for _, parent := range mapsAt(object, r.parent) {
		value, found := parent[r.former]
		if !found {
			continue
		}
		if _, has := parent[r.actual]; !has {
			parent[r.actual] = value
		}
		delete(parent, r.former)
		renamed = true
	}
	if !renamed {
		return nil
	}
	return []string{fmt.Sprintf("%s.%s is now %s.%s", r.parent, r.former, r.parent, r.actual)}
}

// mapsAt returns the objects at a path, such as status.pendingRevocations[].
func mapsAt(object map[string]any, path string) []map[string]any {
	found := []map[string]any{object}
	for part := range strings.SplitSeq(path, ".") {
		name, isList := strings.CutSuffix(part, "[]")
		var next []map[string]any
		for _, parent := range found {
			values := []any{parent[name]}
			if isList {
				values, _ = parent[name].([]any)
			}
			for _, value := range values {
				if inner, ok := value.(map[string]any); ok {
					next = append(next, inner)
				}
			}
		}
		found = next
	}
	return found
}

// nameAccessRules names the access rules of a deployment that have no name: rule-1, rule-2 and so on, by
// their place.
func nameAccessRules(object map[string]any) []string {
	rules := mapsAt(object, "spec.access[]")
	taken := map[any]bool{}
	for _, rule := range rules {
		taken[rule["name"]] = true
	}
	var changes []string
	for i, rule := range rules {
		if _, found := rule["name"]; found {
			continue
		}
		name := fmt.Sprintf("rule-%d", i+1)
		for taken[name] {
			name += "-x"
		}
		taken[name] = true
		rule["name"] = name
		changes = append(changes, fmt.Sprintf("spec.access[%d].name is %s: choose another one if you like, such as that "+
			"of the team", i, name))
	}
	return changes
}

// completeRetirement adds the time of the last use to a retirement that was recorded without one.
func completeRetirement(object map[string]any) []string {
	for _, retirement := range mapsAt(object, "status.retirement") {
		if _, found := retirement["lastActiveTime"]; !found && retirement["startTime"] != nil {
			retirement["lastActiveTime"] = retirement["startTime"]
			return []string{"status.retirement.lastActiveTime is that of startTime"}
		}
	}
	return nil
}

// missingValues returns what is missing in one object of what another one has, as a merge patch of the
// first; nil: nothing. A list that is there is complete.
func missingValues(in, of map[string]any) map[string]any {
	missing := map[string]any{}
	for name, value := range of {
		has, found := in[name]
		inner, isMap := value.(map[string]any)
		below, _ := has.(map[string]any)
		switch {
		case !found:
			missing[name] = value
		case isMap && below != nil:
			if part := missingValues(below, inner); part != nil {
				missing[name] = part
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return missing
}

// equalRules reports whether two access rules differ in nothing but their names.
func equalRules(a, b map[string]any) bool {
	a, b = maps.Clone(a), maps.Clone(b)
	delete(a, "name")
	delete(b, "name")
	return reflect.DeepEqual(a, b)
}
