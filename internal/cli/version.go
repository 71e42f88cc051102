// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
)

// versionTimeout limits how long a command waits for the version of the CRDs: less than a person notices
// as trouble.
const versionTimeout = 2 * time.Second

// startVersionCheck begins to compare the plugin's version with that of the CRDs, which are upgraded with
// the operator. The returned function waits for the outcome, and warns if the plugin is older. A version
// that cannot be read, or one of a build in development, is not compared.
func (c *connector) startVersionCheck(ctx context.Context, cluster *cluster) (finish func()) {
	if releasedVersion(c.env.Version) == nil {
		return func() {}
	}
	warning := make(chan string, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, versionTimeout)
		defer cancel()
		served, err := cluster.readServedAPI(ctx)
		if err != nil {
			served = &servedAPI{} // what the command itself asks will tell
		}
		warning <- compareVersions(c.env.Version, served.version)
	}()
	return func() {
		if text := <-warning; text != "" {
			c.out.printErrf("Warning: %s; %s", text, updateRemedy)
		}
	}
}

// updateRemedy says how to get another version of the plugin.
const updateRemedy = "update it: kubectl krew upgrade coder, or the archive of the operator's release"

// compareVersions says that the plugin is older than the CRDs. Empty: it is not, or one of them has no
// version.
func compareVersions(plugin, crds string) string {
	own, theirs := releasedVersion(plugin), releasedVersion(crds)
	if own == nil || theirs == nil || !own.LessThan(theirs) {
		return ""
	}
	return fmt.Sprintf("this plugin (%s) is older than the operator's CRDs (%s)", plugin, crds)
}

// releasedVersion parses a version, without what follows the third number (such as -4-g1b2c3d4, which git
// describe appends). It returns nil if there is none, or one of a build in development (0.0.0).
func releasedVersion(text string) *version.Version {
	parsed, err := version.ParseGeneric(text)
	if err != nil || !parsed.GreaterThan(version.MustParseGeneric("0.0.0")) {
		return nil
	}
	return parsed
}

// titleVersion returns the version at the end of a schema's title, which hack/crds writes. Empty: there
// is none.
func titleVersion(title string) string {
	words := strings.Fields(title)
	if len(words) == 0 || releasedVersion(words[len(words)-1]) == nil {
		return ""
	}
	return words[len(words)-1]
}
