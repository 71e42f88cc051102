// SPDX-License-Identifier: Apache-2.0

package fingerprint

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
)

// KeySize is the least length of a key, in bytes, and the length of one that [LoadOrCreate] makes.
const KeySize = 32

// mark stands where a key would have been printed.
const mark = "[fingerprint key]"

// Key makes fingerprints that nobody can make or check without it. Whatever prints or encodes it shows nothing of it.
//
// The zero Key holds no key, and [Key.Digest] panics on it: a fingerprint under a key that everybody knows would be a
// leak that no test notices. It is safe for concurrent use.
type Key struct {
	// newMAC is a closure because reflection cannot look into one: fmt does not call the methods of a value that sits in
	// an unexported field, and other printers follow pointers.
	newMAC func() hash.Hash
}

// NewKey returns the key that raw stands for. It fails when raw has less than [KeySize] bytes. raw is not kept.
func NewKey(raw []byte) (Key, error) {
	if len(raw) < KeySize {
		return Key{}, fmt.Errorf("a fingerprint key needs at least %d bytes, this one has %d", KeySize, len(raw))
	}
	key := sha256.Sum256(raw)
	return Key{newMAC: func() hash.Hash { return hmac.New(sha256.New, key[:]) }}, nil
}

// Digest begins a digest. The domain says what it is of; digests of different domains never meet, so that equal values in
// two places do not show as equal.
func (k Key) Digest(domain string) *Digest {
	if k.newMAC == nil {
		panic("fingerprint: digest under the zero Key")
	}
	d := &Digest{mac: k.newMAC()}
	d.text(domain)
	return d
}

// String returns a fixed text.
func (k Key) String() string { return mark }

// GoString returns a fixed text.
func (k Key) GoString() string { return mark }

// Format writes a fixed text, whatever the verb and flags.
func (k Key) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, mark) // a fmt.State has nowhere to report to
}

// MarshalText returns a fixed text: a key is not encoded by accident.
func (k Key) MarshalText() ([]byte, error) { return []byte(mark), nil }
