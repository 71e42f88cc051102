// SPDX-License-Identifier: Apache-2.0

package fingerprint

import (
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
)

const (
	// prefix names the algorithm in a fingerprint.
	prefix = "hmac-sha256:"
	// sumSize is the length of the digest, in bytes: 128 bits are enough to detect changes, and short
	// enough for a status field.
	sumSize = 16
)

// Types of fields, so that a text field never equals a bytes field.
const (
	kindValues = 'v'
	kindBytes  = 'b'
)

// Digest is a fingerprint that is being computed, created by [Key.Digest]. Names, values and their
// numbers are written with their lengths, so that different inputs never give the same digest. The
// order of the calls matters: sort what has no order. It is not safe for concurrent use.
type Digest struct {
	mac hash.Hash
}

// Field adds a field with any number of values and returns d. No value and one empty value are
// different.
func (d *Digest) Field(name string, values ...string) *Digest {
	d.beginField(kindValues, name)
	d.writeNumber(len(values))
	for _, value := range values {
		d.writeText(value)
	}
	return d
}

// Bytes adds a bytes field and returns d. Nil and empty are the same.
func (d *Digest) Bytes(name string, value []byte) *Digest {
	d.beginField(kindBytes, name)
	d.writeNumber(len(value))
	d.mac.Write(value)
	return d
}

// Sum returns the fingerprint of all fields so far: "hmac-sha256:" and 32 hexadecimal digits. It
// does not change d.
func (d *Digest) Sum() string {
	return prefix + hex.EncodeToString(d.mac.Sum(nil)[:sumSize])
}

// Writing to a hash never fails (hash.Hash), so the errors are ignored.

func (d *Digest) beginField(kind byte, name string) {
	d.mac.Write([]byte{kind})
	d.writeText(name)
}

func (d *Digest) writeNumber(n int) {
	var encoded [8]byte
	binary.BigEndian.PutUint64(encoded[:], uint64(n))
	d.mac.Write(encoded[:])
}

func (d *Digest) writeText(s string) {
	d.writeNumber(len(s))
	_, _ = io.WriteString(d.mac, s)
}
