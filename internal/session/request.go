// SPDX-License-Identifier: Apache-2.0

package session

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// SpecDigest is a digest of what a spec asks of a minted token: user, lifetime,
// scopes and allow-list, the order of lists not counting; and of which server,
// by its deployment id. A published token with another digest is replaced. It is
// public: none of this is secret.
func SpecDigest(mint *v1alpha1.MintAuth, server string) string {
	if mint == nil {
		return ""
	}
	wish := struct {
		User      string
		Lifetime  string
		Scopes    []v1alpha1.Scope
		AllowList []v1alpha1.AllowListEntry
	}{mint.User, mint.Lifetime.Or(DefaultLifetime).String(), slices.Sorted(slices.Values(mint.Scopes)), slices.Sorted(slices.Values(mint.AllowList))}
	// Strings and lists of strings always encode.
	text, _ := json.Marshal(wish)
	return digest([]byte(server)) + "." + digest(text)
}

// renewal is a request with the digest of the request for renewal that a token is
// minted for; empty: none. So the token itself says what it was minted for, and is not
// minted again for it (B40).
func renewal(request, asked string) string {
	if asked == "" {
		return request
	}
	return request + "." + digest([]byte(asked))
}

// specDigest is a published token's request as [RequestOf] made it.
func specDigest(request string) string {
	server, rest, _ := strings.Cut(request, ".")
	wish, _, _ := strings.Cut(rest, ".")
	return server + "." + wish
}

// sameServer reports whether two requests are of one server.
func sameServer(a, b string) bool {
	of := func(request string) string {
		server, _, _ := strings.Cut(request, ".")
		return server
	}
	return of(a) == of(b)
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
