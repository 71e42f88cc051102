// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"errors"
	"slices"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// ReferenceError is a fault in a referenced object or in the spec itself that a person must fix.
// Retrying without a change does not help. Its text names object and key, says what to do and never
// shows a value.
type ReferenceError struct {
	// Reference is the object. Its Kind is KindDeployment if the fault is in the spec itself.
	Reference Reference
	// Key in the object's data, or the path of the field in the spec. Empty: the whole object is
	// absent or may not be used.
	Key string
	// Missing: the object or the key does not exist, or is an empty half of a pair. Otherwise the
	// value is invalid.
	Missing bool
	// Problem says what is wrong and how to fix it.
	Problem string
	// Err is the cause, if there is one that cannot contain a value.
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

// faults collects everything that is wrong, so that all of it is reported at once.
type faults []error

// add adds a fault. It ignores nil, and a fault that was added already: two headers may need the
// same value.
func (f *faults) add(fault *ReferenceError) {
	if fault == nil || slices.ContainsFunc(*f, func(known error) bool { return known.Error() == fault.Error() }) {
		return
	}
	*f = append(*f, fault)
}

// err joins all faults. It is nil if there are none.
func (f faults) err() error { return errors.Join(f...) }

// invalidValue returns the error for a value that cannot be used.
func invalidValue(w want, p problem) *ReferenceError {
	return &ReferenceError{Reference: w.ref, Key: w.key, Problem: p.text, Err: p.err}
}

// missingValue returns the error for a value that does not exist.
func missingValue(w want, text string) *ReferenceError {
	return &ReferenceError{Reference: w.ref, Key: w.key, Missing: true, Problem: text}
}

// invalidField returns the error for a field of the spec.
func invalidField(d *v1alpha1.CoderDeployment, path, text string) *ReferenceError {
	ref := Reference{Kind: KindDeployment, Namespace: d.Namespace, Name: d.Name}
	return &ReferenceError{Reference: ref, Key: path, Problem: text}
}

// problem says what is wrong with a value. Its zero value means that nothing is.
type problem struct {
	text string
	err  error
}

func (p problem) isPresent() bool { return p.text != "" }
