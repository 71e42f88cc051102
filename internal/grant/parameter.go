// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"encoding/base64"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Parameter returns the state parameter of an authorization request. It contains the session, so
// that the callback finds it without a search, and a random part, which protects against forged
// callbacks (B62). It is not a credential.
func Parameter(session types.NamespacedName, random string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(session.Namespace+"/"+session.Name)) + "." + random
}

// SessionOf returns the session in a state parameter. It returns false if the operator did not
// create the parameter.
func SessionOf(parameter string) (types.NamespacedName, bool) {
	encoded, _, found := strings.Cut(parameter, ".")
	if !found || len(parameter) > maxParameter {
		return types.NamespacedName{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return types.NamespacedName{}, false
	}
	// Invalid object names are rejected. A valid one can be printed and pasted into a shell.
	namespace, name, found := strings.Cut(string(text), "/")
	if !found || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, true
}

// maxParameter is the maximum length of a state parameter, in bytes: enough for two names and the
// random part.
const maxParameter = 1024
