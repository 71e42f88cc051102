// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"reflect"
	"slices"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// OtherNames are the fields of specs that end in "name" and name no object of Kubernetes that is read
// or changed, with what they are the name of.
var OtherNames = map[string]string{
	"CoderDeployment spec/access/name":    "of a rule",
	"CoderDeployment spec/headers/name":   "of an HTTP header",
	"CoderDeployment spec/tls/serverName": "of a host",
	"CoderSession spec/secret/name":       "of what the operator writes",
	"CoderSession spec/workspace/name":    "of a workspace on the Coder server",
}

// References returns all fields of specs that can name an object, sorted, each with its kind and its
// path, such as "CoderSession spec/auth/token/secretRef/name".
func References() []string {
	var found []string
	for kind, spec := range map[string]any{
		"CoderDeployment": v1alpha1.CoderDeploymentSpec{}, "CoderSession": v1alpha1.CoderSessionSpec{},
	} {
		for _, path := range namePaths(reflect.TypeOf(spec), "spec") {
			if key := kind + " " + path; OtherNames[key] == "" {
				found = append(found, key)
			}
		}
	}
	slices.Sort(found)
	return found
}

// namePaths returns the fields of text below a type whose names end in "name".
func namePaths(of reflect.Type, path string) []string {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return nil
	}
	var found []string
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		below := path
		if name != "" {
			below += "/" + name
		}
		if field.Type.Kind() == reflect.String && strings.HasSuffix(strings.ToLower(name), "name") {
			found = append(found, below)
		}
		found = append(found, namePaths(field.Type, below)...)
	}
	return found
}
