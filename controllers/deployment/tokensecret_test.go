// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// B114: the field manager that has last written the token is named, not one of other fields.
func TestLastDataWriter(t *testing.T) {
	t.Parallel()
	entry := func(manager string, at time.Duration, fields string) metav1.ManagedFieldsEntry {
		when := metav1.NewTime(time.Unix(0, 0).Add(at))
		return metav1.ManagedFieldsEntry{Manager: manager, Time: &when, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const token, note = `{"f:data":{".":{},"f:token":{}}}`, `{"f:data":{"f:note":{}},"f:metadata":{"f:labels":{}}}`
	for name, tc := range map[string]struct {
		managed []metav1.ManagedFieldsEntry
		want    string
	}{
		"none":                       {nil, ""},
		"one":                        {[]metav1.ManagedFieldsEntry{entry("a", 0, token)}, "a"},
		"the later one":              {[]metav1.ManagedFieldsEntry{entry("b", time.Hour, token), entry("a", 0, token)}, "b"},
		"another key":                {[]metav1.ManagedFieldsEntry{entry("a", 0, token), entry("b", time.Hour, note)}, "a"},
		"no fields":                  {[]metav1.ManagedFieldsEntry{{Manager: "a"}}, ""},
		"fields that cannot be read": {[]metav1.ManagedFieldsEntry{entry("a", 0, "[")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := lastDataWriter(tc.managed, "token"); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
