// SPDX-License-Identifier: Apache-2.0

// Command docs writes the generated pages of docs/reference into the folder that it is given.
// It is run from the root of the repository:
//
//	go run ./hack/docs docs/reference
//
// It owns the pages that come from Go code: the plugin's commands, the manager's flags, the
// metrics, the conditions with their reasons, and the licences of dependencies; and the table of
// values in the chart's README.
// api.md is crd-ref-docs' (hack/docs/api).
package main
