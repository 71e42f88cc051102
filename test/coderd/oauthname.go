// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
)

const (
	// maxClientName and clientNameHash bound a registered client's name in bytes: a longer one is cut
	// and ends in a hash (C.4).
	maxClientName  = 64
	clientNameHash = 8
	// fallbackClientName is for clients that offer nothing to derive a name from.
	fallbackClientName = "Registered client"
)

// clientName returns the given name or, without one, a fixed name, in NEW the host of the client's
// URI or of its redirect URI (contract C.4).
func (c *call) clientName(m clientMetadata) string {
	name := m.ClientName
	if name == "" && !c.opts.isNew() {
		return fallbackClientName
	}
	for _, uri := range append([]string{m.ClientURI}, m.RedirectURIs...) {
		if name != "" {
			break
		}
		if u, err := url.Parse(uri); err == nil {
			name = u.Host
		}
	}
	if name == "" {
		return fallbackClientName
	}
	if len(name) <= maxClientName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxClientName-clientNameHash-1] + "-" + hex.EncodeToString(sum[:])[:clientNameHash]
}
