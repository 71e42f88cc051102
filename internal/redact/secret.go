// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Mark is printed instead of a credential.
const Mark = "[redacted]"

// Secret is an immutable secret string. Printing or encoding it shows [Mark]; only [Secret.Reveal]
// returns the value.
//
// The zero value is an absent secret ([Secret.IsZero]), which differs from one that is set and
// empty ([Secret.Empty], B26). A Secret is not comparable with ==: use [Secret.Equal]. It is safe
// for concurrent use.
type Secret struct {
	// reveal is a closure, which reflection cannot look into: fmt does not call the methods of a value
	// in an unexported field, and printers such as spew follow pointers.
	reveal func() string
}

// New wraps value. An empty value gives a Secret that is set and not zero.
func New(value string) Secret {
	return Secret{reveal: func() string { return value }}
}

// Reveal returns the value, for code that sends or stores it. The zero Secret returns an empty
// string.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether the secret was never set.
func (s Secret) IsZero() bool { return s.reveal == nil }

// Empty reports whether the secret is set and its value is empty.
func (s Secret) Empty() bool { return s.reveal != nil && s.reveal() == "" }

// Equal reports whether both secrets are absent, or both are set to the same value. The time it
// takes depends on the lengths of the values, not on where they differ.
func (s Secret) Equal(other Secret) bool {
	if s.IsZero() || other.IsZero() {
		return s.IsZero() == other.IsZero()
	}
	a, b := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(other.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// String returns [Mark].
func (s Secret) String() string { return Mark }

// GoString returns [Mark].
func (s Secret) GoString() string { return Mark }

// Format writes [Mark], whatever the verb and flags.
func (s Secret) Format(state fmt.State, _ rune) {
	_, _ = state.Write([]byte(Mark)) // fmt.State cannot report errors
}

// MarshalText returns [Mark], so that a secret is never encoded by accident.
func (s Secret) MarshalText() ([]byte, error) { return []byte(Mark), nil }

// MarshalJSON returns [Mark] as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Mark + `"`), nil }

// MarshalYAML returns [Mark], for YAML libraries that do not use MarshalJSON.
func (s Secret) MarshalYAML() (any, error) { return Mark, nil }

// MarshalLog returns [Mark] (logr.Marshaler).
func (s Secret) MarshalLog() any { return Mark }

// LogValue returns [Mark] (slog.LogValuer).
func (s Secret) LogValue() slog.Value { return slog.StringValue(Mark) }
