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
	// sumSize is how much of the MAC is shown, in bytes: 128 bits are enough to tell changes apart, and short enough for
	// a status.
	sumSize = 16
)

// What a field is, so that a field of text never equals one of bytes.
const (
	kindValues = 'v'
	kindBytes  = 'b'
)

// Digest is a fingerprint in the making, begun by [Key.Digest]. Names, values and their numbers are written with their
// lengths: no two different inputs give the same digest. The order of the calls counts; sort what has no order. It is
// not safe for concurrent use.
type Digest struct {
	mac hash.Hash
}

// Field adds a field of any number of values and returns d. No value, and one empty value, are different.
func (d *Digest) Field(name string, values ...string) *Digest {
	d.begin(kindValues, name)
	d.number(len(values))
	for _, value := range values {
		d.text(value)
	}
	return d
}

// Bytes adds a field of bytes and returns d. Nil and empty are the same.
func (d *Digest) Bytes(name string, value []byte) *Digest {
	d.begin(kindBytes, name)
	d.number(len(value))
	d.mac.Write(value)
	return d
}

// Sum returns the fingerprint of what was added so far: "hmac-sha256:" and 32 hexadecimal digits. It changes nothing.
func (d *Digest) Sum() string {
	return prefix + hex.EncodeToString(d.mac.Sum(nil)[:sumSize])
}

// A hash never fails to be written to (hash.Hash), so the results of its writes are not looked at.

func (d *Digest) begin(kind byte, name string) {
	d.mac.Write([]byte{kind})
	d.text(name)
}

func (d *Digest) number(n int) {
	var encoded [8]byte
	binary.BigEndian.PutUint64(encoded[:], uint64(n))
	d.mac.Write(encoded[:])
}

func (d *Digest) text(s string) {
	d.number(len(s))
	_, _ = io.WriteString(d.mac, s)
}
