// SPDX-License-Identifier: Apache-2.0

package fingerprint

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
)

// KeySize is the minimum length of a key, in bytes, and the length of a key that [LoadOrCreate]
// creates.
const KeySize = 32

// mark is printed instead of a key.
const mark = "[fingerprint key]"

// Key computes fingerprints. Without it they can be neither computed nor checked. Printing or
// encoding a Key shows nothing of it.
//
// The zero Key contains no key, and [Key.Digest] panics on it: a fingerprint under a known key
// would be a leak that no test notices. It is safe for concurrent use.
type Key struct {
	// newMAC is a closure, which reflection cannot look into: fmt does not call the methods of a value
	// in an unexported field, and other printers follow pointers.
	newMAC func() hash.Hash
}

// NewKey returns a key made of raw. It fails if raw has less than [KeySize] bytes. raw is not kept.
func NewKey(raw []byte) (Key, error) {
	if len(raw) < KeySize {
		return Key{}, fmt.Errorf("a fingerprint key needs at least %d bytes, this one has %d", KeySize, len(raw))
	}
	key := sha256.Sum256(raw)
	return Key{newMAC: func() hash.Hash { return hmac.New(sha256.New, key[:]) }}, nil
}

// Digest starts a digest. The domain says what is digested. Digests of different domains never
// match, so that equal values in two places do not appear equal.
func (k Key) Digest(domain string) *Digest {
	if k.newMAC == nil {
		panic("fingerprint: digest under the zero Key")
	}
	d := &Digest{mac: k.newMAC()}
	d.writeText(domain)
	return d
}

// String returns a fixed text.
func (k Key) String() string { return mark }

// GoString returns a fixed text.
func (k Key) GoString() string { return mark }

// Format writes a fixed text, whatever the verb and flags.
func (k Key) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, mark) // fmt.State cannot report errors
}

// MarshalText returns a fixed text, so that a key is never encoded by accident.
func (k Key) MarshalText() ([]byte, error) { return []byte(mark), nil }
