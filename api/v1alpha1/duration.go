// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "time"

// Or returns the duration, or other where it is absent or was stored before the
// validation that is in force now and cannot be read.
func (d *Duration) Or(other time.Duration) time.Duration {
	if d == nil {
		return other
	}
	parsed, err := time.ParseDuration(string(*d))
	if err != nil || parsed <= 0 {
		return other
	}
	return parsed
}

// DurationOf writes a length of time in the form that a manifest has it.
func DurationOf(d time.Duration) *Duration {
	text := Duration(d.String())
	return &text
}
