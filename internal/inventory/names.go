// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"strconv"
	"strings"
)

// sessionLength is how many characters of a session's UID are part of the names of its tokens.
const sessionLength = 8

// Names creates and parses the names of minted tokens:
//
//	cso-<cluster>-<first 8 of the session's UID>-<serial>
//
// They are deterministic, so that a token that was minted but never recorded is found again (B40,
// B41). The zero value has an empty cluster ID and must not be used. Names is immutable.
type Names struct {
	// Cluster is the ID of the manager's scope, 8 characters. Tokens of another cluster are never
	// changed (B45).
	Cluster string
}

// Prefix returns the prefix of the names of all tokens of this cluster.
func (n Names) Prefix() string { return commonPrefix + n.Cluster + "-" }

// SessionPrefix returns the prefix of the names of all tokens of the session with this UID.
func (n Names) SessionPrefix(uid string) string {
	return n.Prefix() + uid[:min(sessionLength, len(uid))] + "-"
}

// Token returns the name of the session's token with this serial, which must be positive.
func (n Names) Token(uid string, serial int64) string {
	return n.SessionPrefix(uid) + strconv.FormatInt(serial, 10)
}

// Serial returns the serial in the name of a token of the session with this UID, and false for
// every name that [Names.Token] would not create.
func (n Names) Serial(name, uid string) (int64, bool) {
	digits, found := strings.CutPrefix(name, n.SessionPrefix(uid))
	if !found {
		return 0, false
	}
	serial, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || serial < 1 || strconv.FormatInt(serial, 10) != digits {
		return 0, false
	}
	return serial, true
}

// OfSession reports whether a name is that of a token of the session with this UID, regardless of
// the manager that minted it: another one may have watched the session before, or this one may have
// had another scope.
func (n Names) OfSession(name, uid string) bool {
	_, own := n.SerialOfAny(name, uid)
	return own
}

// SerialOfAny is [Names.Serial] for the name of a token that any manager may have minted.
func (n Names) SerialOfAny(name, uid string) (int64, bool) {
	return n.Serial(n.OwnName(name), uid)
}

// OwnName returns the name that this manager would have given to a token that another one has minted; all
// other names are returned as they are.
func (n Names) OwnName(name string) string { return ownName(n.Prefix(), name) }

// commonPrefix is what the names of the tokens of all managers begin with.
const commonPrefix = "cso-"

// ownName replaces the cluster in the name of a token, so that it begins with this prefix.
func ownName(prefix, name string) string {
	if strings.HasPrefix(name, prefix) {
		return name
	}
	rest, found := strings.CutPrefix(name, commonPrefix)
	_, session, separated := strings.Cut(rest, "-")
	if !found || !separated {
		return name
	}
	return prefix + session
}

// SessionPrefixOf returns the [Names.SessionPrefix] of a token's name, and false if the token does
// not belong to this cluster.
func (n Names) SessionPrefixOf(name string) (string, bool) {
	rest, found := strings.CutPrefix(name, n.Prefix())
	session, _, separated := strings.Cut(rest, "-")
	if !found || !separated {
		return "", false
	}
	return n.Prefix() + session + "-", true
}
