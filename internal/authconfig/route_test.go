// SPDX-License-Identifier: Apache-2.0

package authconfig_test

import (
	"testing"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B73: what decides which server gets the requests, and nothing else.
func TestOriginAndRoute(t *testing.T) {
	t.Parallel()
	skip := withTLS(func(c *v1alpha1.TLSConfig) { c.InsecureSkipVerify, c.CABundle = true, nil })
	name := withTLS(func(c *v1alpha1.TLSConfig) { c.ServerName = "other" })
	bundle := func(t *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
		c.configMap("corp-ca", map[string]string{"ca.crt": issueAuthority(t, "corp").cert})
	}
	for title, tc := range map[string]struct {
		with          change
		origin, route bool // is another one
	}{
		"another host":           {editSpec(withURL("https://coder2.example.com")), true, false},
		"another port":           {editSpec(withURL("https://coder.example.com:8443")), true, false},
		"the default port":       {editSpec(withURL("https://CODER.example.com:443/")), false, false},
		"without TLS":            {editSpec(withURL("http://coder.example.com")), true, true},
		"another proxy":          {editSpec(withProxy("http://proxy2.example.com:3128")), false, true},
		"no proxy":               {editSpec(withProxy("")), false, true},
		"any certificate":        {editSpec(skip), false, true},
		"another server name":    {editSpec(name), false, true},
		"other authorities":      {bundle, false, true},
		"another token":          {setValue("operator-token", "token", "abcdefghij-ABCDEFGHIJKLMNOPQRSTUW"), false, false},
		"another client":         {editSpec(withCertificate("")), false, false},
		"a header more":          {editSpec(withHeader("X-More", "1")), false, false},
		"another UID of the API": {editSpec(func(d *v1alpha1.CoderDeployment) { d.UID = "uid-2" }), false, false},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			c, d := completeDeployment(t)
			before := c.resolve(t, d)
			tc.with(t, c, d)
			after := c.resolve(t, d)
			if other := before.Origin() != after.Origin(); other != tc.origin {
				t.Errorf("the origin was %s and is %s", before.Origin(), after.Origin())
			}
			if other := before.Route() != after.Route(); other != tc.route {
				t.Errorf("another route: %t", other)
			}
		})
	}
}
