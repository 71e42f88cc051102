// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
)

// Parameter returns the state parameter of an authorization request. It contains the session, so
// that the callback finds it without a search, a random part, which protects against forged
// callbacks (B62), and a tag, without which a callback is not looked at (B141). It is not a credential.
func Parameter(key fingerprint.Key, session types.NamespacedName, random string) string {
	body := base64.RawURLEncoding.EncodeToString([]byte(session.Namespace+"/"+session.Name)) + "." + random
	return body + "." + tagOf(key, body)
}

// SessionOf returns the session in a state parameter. It returns false if no operator with this key
// has made the parameter. Nothing but the parameter is looked at.
func SessionOf(key fingerprint.Key, parameter string) (types.NamespacedName, bool) {
	end := strings.LastIndexByte(parameter, '.')
	if end < 0 || len(parameter) > maxParameter {
		return types.NamespacedName{}, false
	}
	body, tag := parameter[:end], parameter[end+1:]
	if subtle.ConstantTimeCompare([]byte(tag), []byte(tagOf(key, body))) != 1 {
		return types.NamespacedName{}, false
	}
	encoded, _, _ := strings.Cut(body, ".")
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

// tagOf is the keyed digest of what is before the tag, in 32 hexadecimal digits.
func tagOf(key fingerprint.Key, body string) string {
	_, sum, _ := strings.Cut(key.Digest("oauth-state").Field("parameter", body).Sum(), ":")
	return sum
}

// maxParameter is the maximum length of a state parameter, in bytes: enough for two names, the random
// part and the tag.
const maxParameter = 1024
