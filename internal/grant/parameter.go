// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"encoding/base64"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Parameter makes the state parameter of an authorization request: the session that it is for, so that a callback finds it
// without a search, and a random part, which is what counts (B62). It is no credential.
func Parameter(session types.NamespacedName, random string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(session.Namespace+"/"+session.Name)) + "." + random
}

// SessionOf returns the session that a state parameter is for. False: it is none of ours.
func SessionOf(parameter string) (types.NamespacedName, bool) {
	encoded, _, found := strings.Cut(parameter, ".")
	if !found || len(parameter) > maxParameter {
		return types.NamespacedName{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return types.NamespacedName{}, false
	}
	// Names that no object can have are nobody's: what is returned can be shown, and pasted into a shell.
	namespace, name, found := strings.Cut(string(text), "/")
	if !found || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, true
}

// maxParameter bounds what is looked at, in bytes: two names and a random part fit easily.
const maxParameter = 1024
