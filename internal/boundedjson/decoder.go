// SPDX-License-Identifier: Apache-2.0

package boundedjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrShape means that a document is not JSON, or not of the expected shape. It quotes nothing.
var ErrShape = errors.New("not the JSON that was expected")

// Decoder decodes one document. It is used by one goroutine.
//
// Its methods return [ErrShape], or an error that wraps a *[LimitError] or a *[ReadError]. Errors of
// the callbacks are returned unchanged.
type Decoder struct {
	filter  *filter
	json    *json.Decoder
	skipped json.RawMessage
}

// NewDecoder returns a decoder of the document that r has.
func NewDecoder(r io.Reader, limits Limits) *Decoder {
	f := &filter{src: r, limits: limits}
	return &Decoder{filter: f, json: json.NewDecoder(f)}
}

// Decode decodes the whole document into a value.
func Decode(r io.Reader, limits Limits, into any) error {
	d := NewDecoder(r, limits)
	if err := d.Value(into); err != nil {
		return err
	}
	return d.End()
}

// Value decodes the next value.
func (d *Decoder) Value(into any) error {
	d.filter.budget = d.filter.limits.Value
	return shapeError(d.json.Decode(into))
}

// Skip skips the next value.
func (d *Decoder) Skip() error { return d.Value(&d.skipped) }

// Array calls decode for each element of the next value, an array of up to most elements or null.
// decode has to decode or skip the element.
func (d *Decoder) Array(most int, decode func() error) error {
	if isNull, err := d.open('['); isNull || err != nil {
		return err
	}
	for count := 0; d.more(); count++ {
		if count == most {
			return &LimitError{fmt.Sprintf("the answer has a list of more than %d items", most)}
		}
		if err := decode(); err != nil {
			return err
		}
	}
	return d.closeContainer()
}

// Object calls decode for each member of the next value, an object. decode has to decode or skip the
// member's value.
func (d *Decoder) Object(decode func(name string) error) error {
	isNull, err := d.open('{')
	if isNull {
		return ErrShape
	}
	if err != nil {
		return err
	}
	for d.more() {
		token, err := d.token()
		if err != nil {
			return err
		}
		name, isName := token.(string)
		if !isName {
			return ErrShape
		}
		if err := decode(name); err != nil {
			return err
		}
	}
	return d.closeContainer()
}

// End returns an error if anything but white space follows.
func (d *Decoder) End() error {
	switch _, err := d.json.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return ErrShape
	default:
		return shapeError(err)
	}
}

// open reads the beginning of an array or object, or null.
func (d *Decoder) open(delimiter json.Delim) (isNull bool, err error) {
	token, err := d.token()
	switch {
	case err != nil:
		return false, err
	case token == nil:
		return true, nil
	case token != delimiter:
		return false, ErrShape
	}
	return false, nil
}

func (d *Decoder) more() bool {
	d.filter.budget = d.filter.limits.Value
	return d.json.More()
}

// closeContainer reads the end of an array or object. It also returns what has ended it early.
func (d *Decoder) closeContainer() error {
	_, err := d.token()
	return err
}

func (d *Decoder) token() (json.Token, error) {
	d.filter.budget = d.filter.limits.Value
	token, err := d.json.Token()
	return token, shapeError(err)
}

// shapeError replaces the decoder's errors, which quote the document.
func shapeError(err error) error {
	if err == nil {
		return nil // before the targets of errors.As, which take memory
	}
	var limit *LimitError
	var read *ReadError
	if errors.As(err, &limit) || errors.As(err, &read) {
		return err
	}
	return ErrShape
}
