// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"errors"
	"slices"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// ReferenceError is a fault in a referenced object, or in the spec itself, that a person must mend; retrying without a
// change is in vain. Its text names object and key, says what to do and never shows a value.
type ReferenceError struct {
	// Reference is the object. Its Kind is KindDeployment where the spec itself is at fault.
	Reference Reference
	// Key in the object's data, or the path of the field in the spec. Empty: the object as a whole is absent.
	Key string
	// Missing says that the object or the key is not there, or is an empty half of a pair. Otherwise the value is invalid.
	Missing bool
	// Problem says what is wrong and how it is mended.
	Problem string
	// Err is the cause, where there is one that cannot show a value.
	Err error
}

// Error returns a text such as `Secret coder/prod-mtls: key "tls.key": is missing: add it`.
func (e *ReferenceError) Error() string {
	var text strings.Builder
	text.WriteString(e.Reference.String())
	text.WriteString(": ")
	switch {
	case e.Key == "":
	case e.Reference.Kind == KindDeployment:
		text.WriteString(e.Key + ": ")
	default:
		text.WriteString(`key "` + e.Key + `": `)
	}
	text.WriteString(e.Problem)
	if e.Err != nil {
		text.WriteString(": " + e.Err.Error())
	}
	return text.String()
}

// Unwrap returns the cause, or nil.
func (e *ReferenceError) Unwrap() error { return e.Err }

// faults collects what is wrong, so that a person sees all of it at once.
type faults []error

// add records the fault. A nil fault is none, and one that was told already is not told again: two headers may need the
// same value.
func (f *faults) add(fault *ReferenceError) {
	if fault == nil || slices.ContainsFunc(*f, func(told error) bool { return told.Error() == fault.Error() }) {
		return
	}
	*f = append(*f, fault)
}

// err joins all faults. It is nil where there is none.
func (f faults) err() error { return errors.Join(f...) }

// invalid is a value that is there and cannot be used.
func invalid(w want, p problem) *ReferenceError {
	return &ReferenceError{Reference: w.ref, Key: w.key, Problem: p.text, Err: p.err}
}

// missing is a value that is not there.
func missing(w want, text string) *ReferenceError {
	return &ReferenceError{Reference: w.ref, Key: w.key, Missing: true, Problem: text}
}

// invalidField is a fault of the spec.
func invalidField(d *v1alpha1.CoderDeployment, path, text string) *ReferenceError {
	ref := Reference{Kind: KindDeployment, Namespace: d.Namespace, Name: d.Name}
	return &ReferenceError{Reference: ref, Key: path, Problem: text}
}

// problem says what is wrong with a value. Its zero value says that nothing is.
type problem struct {
	text string
	err  error
}

func (p problem) found() bool { return p.text != "" }
