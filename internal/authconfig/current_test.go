// SPDX-License-Identifier: Apache-2.0

package authconfig_test

import (
	"errors"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
)

// B01, B11: what a snapshot was resolved from, and what the cache shows now.
func TestCurrent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before func(c *cluster)                              // changes the complete cluster before the snapshot is resolved
		lag    bool                                          // the cache shows the state before that
		after  func(c *cluster, d *v1alpha1.CoderDeployment) // afterwards
		want   bool
	}{
		"nothing happened": {want: true},
		"a value changed": {
			after: func(c *cluster, _ *v1alpha1.CoderDeployment) { c.putSecret("edge", nil) },
		},
		"an annotation changed": { // contents are not compared; the fingerprint stays the same
			after: func(c *cluster, _ *v1alpha1.CoderDeployment) { c.touchMetadata(configMapRef("route")) },
		},
		"an object is gone": {
			after: func(c *cluster, _ *v1alpha1.CoderDeployment) { c.removeSecret("mtls") },
		},
		"an object was created again": {
			after: func(c *cluster, _ *v1alpha1.CoderDeployment) {
				obj := c.storedSecret("mtls")
				c.removeSecret("mtls")
				c.putObject(secretRef("mtls"), obj)
			},
		},
		"the cache lags behind": {
			before: func(c *cluster) { c.touchMetadata(secretRef("mtls")) }, lag: true, want: true,
		},
		"an object of no concern": {
			after: func(c *cluster, _ *v1alpha1.CoderDeployment) {
				c.putSecret("other", nil)
				c.configMap("edge", nil) // the name of a Secret that was read
			},
			want: true,
		},
		"the spec changed": {
			after: func(_ *cluster, d *v1alpha1.CoderDeployment) { d.Generation++ },
		},
		"another deployment of that name": {
			after: func(_ *cluster, d *v1alpha1.CoderDeployment) { d.UID = "uid-2" },
		},
		"the deployment's status changed": {
			after: func(_ *cluster, d *v1alpha1.CoderDeployment) { d.ResourceVersion = "1000" }, want: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, d := completeDeployment(t)
			cache := c.cloneObjects()
			if tc.before != nil {
				tc.before(c)
			}
			s := c.resolve(t, d)
			if !tc.lag {
				cache = c.cloneObjects()
			}
			if tc.after != nil {
				tc.after(cache, d)
			}
			got, err := cache.newResolver(t).Current(t.Context(), s, d)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("Current is %t, want %t", got, tc.want)
			}
		})
	}
}

func TestCurrentKnowsAbsenceAndOddVersions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		read, now string
		want      bool
	}{
		"absent and still so":   {"", "", true},
		"absent and there now":  {"", "5", false},
		"there and gone":        {"5", "", false},
		"older, fewer digits":   {"100", "99", true},
		"newer, more digits":    {"99", "100", false},
		"no order, the same":    {"v1", "v1", true},
		"no order, another one": {"v2", "v1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, d := newCluster(), newDeployment()
			if tc.now != "" {
				c.putSecret("edge", nil)
				c.SetVersion("Secret", keyOf(secretRef("edge")), tc.now)
			}
			s := &authconfig.Snapshot{UID: d.UID, Generation: d.Generation,
				Sources: map[authconfig.Reference]string{secretRef("edge"): tc.read}}
			got, err := c.newResolver(t).Current(t.Context(), s, d)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("Current is %t, want %t", got, tc.want)
			}
		})
	}
}

func TestCurrentPassesErrorsOn(t *testing.T) {
	t.Parallel()
	c, d := completeDeployment(t)
	s := c.resolve(t, d)
	down := errors.New("down")
	c.failReads(configMapRef("route"), down)
	if current, err := c.newResolver(t).Current(t.Context(), s, d); current || !errors.Is(err, down) {
		t.Errorf("got %t, %v", current, err)
	}
}

// Sessions register again when the client changes, so it is part of the settings.
func TestTheOAuthClientIsPartOfTheSettings(t *testing.T) {
	t.Parallel()
	c, d := completeDeployment(t)
	before := c.resolve(t, d)
	c.putSecret("client", map[string]string{"client_id": "an-id\n", "client_secret": "first\n"})
	d.Spec.OAuth = &v1alpha1.OAuthClient{ClientSecretName: "client"}
	named := c.resolve(t, d)
	if named.OAuth == nil || named.OAuth.ID != "an-id" || named.OAuth.Secret.Reveal() != "first" {
		t.Errorf("the client is %+v", named.OAuth)
	}
	c.putSecret("client", map[string]string{"client_id": "an-id", "client_secret": "second"})
	changed := c.resolve(t, d)
	if before.OAuth != nil || before.Fingerprint == named.Fingerprint || named.Fingerprint == changed.Fingerprint {
		t.Error("the fingerprint is the same")
	}
	if _, read := named.Sources[secretRef("client")]; !read {
		t.Errorf("the sources are %v", sortedKeys(named.Sources))
	}
}
