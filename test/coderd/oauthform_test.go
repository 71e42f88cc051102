// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestOversizeForm(t *testing.T) { // C.7, A.8
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		form := p.refreshForm(strings.Repeat("x", 4<<20))
		for _, path := range []string{tokenURL, "/oauth2/revoke"} {
			form.Set("token", "x")
			res := p.postForm(path, form)
			if !isNew(profile) {
				if res.StatusCode != http.StatusBadRequest {
					t.Errorf("%s: status %d", path, res.StatusCode)
				}
				continue
			}
			p.wantError(res, http.StatusRequestEntityTooLarge, "invalid_request")
			if !strings.Contains(res.text, "4194304") {
				t.Errorf("body %s", res.text)
			}
		}
	})
}
