// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"strings"
)

// Lengths of the two parts of an API key (contract A.4).
const (
	keyIDLength     = 10
	keySecretLength = 22
)

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// secretHash is the only form in which a secret is kept (A.4).
type secretHash [sha256.Size]byte

func hashSecret(secret string) secretHash { return sha256.Sum256([]byte(secret)) }

func (h secretHash) matches(secret string) bool {
	other := hashSecret(secret)
	return subtle.ConstantTimeCompare(h[:], other[:]) == 1
}

// newToken draws the two parts of an API key.
func newToken(random io.Reader) (id, secret string, err error) {
	if id, err = randomString(random, keyIDLength); err != nil {
		return "", "", err
	}
	secret, err = randomString(random, keySecretLength)
	return id, secret, err
}

// splitToken splits an API key. A detail other than "" is the detail of the 401 (A.5 "bad shape").
func splitToken(value string) (id, secret, detail string) {
	const malformed = "Invalid API key format: "
	parts := strings.Split(value, "-")
	if len(parts) != 2 {
		return "", "", malformed + fmt.Sprintf("%d parts instead of 2", len(parts))
	}
	if n := len(parts[0]); n != keyIDLength {
		return "", "", malformed + fmt.Sprintf("id of length %d instead of %d", n, keyIDLength)
	}
	if n := len(parts[1]); n != keySecretLength {
		return "", "", malformed + fmt.Sprintf("secret of length %d instead of %d", n, keySecretLength)
	}
	return parts[0], parts[1], ""
}

// randomString draws letters and digits without bias: bytes beyond the last whole multiple of the
// alphabet are thrown away.
func randomString(random io.Reader, length int) (string, error) {
	const limit = 256 - 256%len(alphanumeric)
	out := make([]byte, 0, length)
	buf := make([]byte, length)
	for len(out) < length {
		if _, err := io.ReadFull(random, buf); err != nil {
			return "", fmt.Errorf("drawing randomness: %w", err)
		}
		for _, b := range buf {
			if int(b) < limit && len(out) < length {
				out = append(out, alphanumeric[int(b)%len(alphanumeric)])
			}
		}
	}
	return string(out), nil
}
