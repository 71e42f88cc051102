// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "time"

// Or returns the duration. It returns other if the duration is absent, or was stored before the
// current validation and cannot be parsed.
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

// DurationOf formats a duration as in a manifest.
func DurationOf(d time.Duration) *Duration {
	text := Duration(d.String())
	return &text
}
