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

// SpecDigest is a digest of what a spec asks of a minted token (user, lifetime, scopes and
// allow-list, regardless of the order of lists) and of the server's deployment id. A published
// token with another digest is replaced. The digest is public, because none of its inputs is
// secret.
func SpecDigest(mint *v1alpha1.MintAuth, server string) string {
	if mint == nil {
		return ""
	}
	wanted := struct {
		User      string
		Lifetime  string
		Scopes    []v1alpha1.Scope
		AllowList []v1alpha1.AllowListEntry
	}{
		mint.User, mint.Lifetime.Or(DefaultLifetime).String(),
		slices.Sorted(slices.Values(mint.Scopes)), slices.Sorted(slices.Values(mint.AllowList)),
	}
	// Strings and lists of strings always encode.
	text, _ := json.Marshal(wanted)
	return digest([]byte(server)) + "." + digest(text)
}

// withRenewalRequest appends the digest of a renewal request to a spec digest; an empty request
// changes nothing. The token's own record so says which request it was minted for, and it is not
// minted twice for one request (B40).
func withRenewalRequest(specDigest, request string) string {
	if request == "" {
		return specDigest
	}
	return specDigest + "." + digest([]byte(request))
}

// trimRenewalRequest returns a published token's digest without its renewal request, as
// [SpecDigest] returned it.
func trimRenewalRequest(tokenDigest string) string {
	server, rest, _ := strings.Cut(tokenDigest, ".")
	wanted, _, _ := strings.Cut(rest, ".")
	return server + "." + wanted
}

// isSameServer reports whether two digests are for the same server.
func isSameServer(a, b string) bool {
	serverOf := func(digest string) string {
		server, _, _ := strings.Cut(digest, ".")
		return server
	}
	return serverOf(a) == serverOf(b)
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
