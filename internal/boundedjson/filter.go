// SPDX-License-Identifier: Apache-2.0

package boundedjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Limits of one document. All are required.
type Limits struct {
	// Read is the maximum size of the document, after decompression, in bytes.
	Read int64
	// Value is the maximum size of a value that is decoded at once, in bytes, without what is left out.
	// It is exceeded by up to one read of the decoder, which reads ahead.
	Value int
	// String is where strings are cut, in bytes.
	String int
	// Depth is how deep objects and arrays may be nested. Those that are nested deeper are left out: the
	// decoder sees the number 0 in their place.
	Depth int
}

// LimitError says which limit a document exceeds.
type LimitError struct {
	// Message quotes nothing of the document.
	Message string
}

// Error returns the message.
func (e *LimitError) Error() string { return e.Message }

// ReadError is an error of the reader that a document comes from.
type ReadError struct {
	// Err is the reader's error.
	Err error
}

// Error returns a text of the reader's error.
func (e *ReadError) Error() string { return "read the document: " + e.Err.Error() }

// Unwrap returns the reader's error.
func (e *ReadError) Unwrap() error { return e.Err }

// filter reads a document and leaves out what exceeds the limits. It never returns more bytes than
// it has read. It does not check the syntax, which is up to the decoder behind it.
type filter struct {
	src    io.Reader
	limits Limits
	read   int64 // bytes of the document so far
	budget int   // bytes that may be returned until the next value

	depth    int
	inString bool
	length   int  // of the current string
	escaped  bool // the last byte was a backslash
	hex      int  // digits of an escape sequence that are still to come
}

// Read reads into p, which must not be empty.
func (f *filter) Read(p []byte) (int, error) {
	for {
		if f.budget < 0 {
			return 0, &LimitError{fmt.Sprintf("a part of the answer is larger than %d bytes", f.limits.Value)}
		}
		n, err := f.src.Read(p)
		f.read += int64(n)
		kept := f.keepWithinLimits(p[:n])
		f.budget -= kept
		switch {
		case f.read > f.limits.Read:
			return 0, &LimitError{fmt.Sprintf("the answer is larger than %d bytes", f.limits.Read)}
		case errors.Is(err, io.EOF):
			return kept, io.EOF
		case err != nil:
			return kept, &ReadError{err}
		case kept > 0:
			return kept, nil
		}
	}
}

// keepWithinLimits moves the bytes that are kept to the front, and returns how many there are.
func (f *filter) keepWithinLimits(b []byte) int {
	kept := 0
	for _, c := range b {
		keep := f.depth <= f.limits.Depth
		switch {
		case f.inString:
			keep = f.continueString(c) && keep
		case c == '"':
			f.inString, f.length = true, 0
		case c == '{' || c == '[':
			f.depth++
			if keep && f.depth > f.limits.Depth {
				c = '0' // in place of all of it
			}
		case c == '}' || c == ']':
			f.depth--
		}
		if keep {
			b[kept] = c
			kept++
		}
	}
	return kept
}

// continueString processes a byte within a string and reports whether it is kept. Escape sequences
// are kept or left out as a whole.
func (f *filter) continueString(c byte) bool {
	switch {
	case f.escaped:
		f.escaped = false
		if c == 'u' {
			f.hex = 4
		}
	case f.hex > 0:
		f.hex--
	case c == '"':
		f.inString = false
		return true
	default:
		f.escaped = c == '\\'
		f.length++
	}
	return f.length <= f.limits.String
}

// Filter returns a document with what exceeds the limits of strings and of depth left out, as a
// Decoder sees it. It changes the bytes of the document. What is neither an object nor an array is
// returned unchanged.
func Filter(document []byte, limits Limits) []byte {
	start := bytes.TrimLeft(document, " \t\r\n")
	if len(start) == 0 || start[0] != '{' && start[0] != '[' {
		return document
	}
	f := filter{limits: limits}
	return document[:f.keepWithinLimits(document)]
}
