// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

// B90: a credential is found wherever it is, and so is a log that was not kept.
func TestSearch(t *testing.T) {
	t.Parallel()
	const public = `"msg":"readiness changed" "outcome":"accepted"`
	values := map[string]string{"a1B2c3D4e5-0123456789": "a token"}
	for name, c := range map[string]struct {
		text string
		fine bool
	}{
		"nothing of it":         {public, true},
		"plain":                 {public + " a1B2c3D4e5-0123456789.", false},
		"in base64":             {public + " YTFCMmMzRDRlNS0wMTIzNDU2Nzg5", false},
		"its id alone":          {public + " a1B2c3D4e5", true},
		"nothing was kept here": {`"msg":"readiness changed"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := searchTexts(map[string]string{"a log": c.text}, values); (err == nil) != c.fine {
				t.Errorf("search: %v", err)
			}
		})
	}
}
