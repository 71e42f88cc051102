// SPDX-License-Identifier: Apache-2.0

// Command crds completes what controller-gen makes of the API types, and keeps the promise about stored
// fields (docs/reference/deprecation.md):
//
//	crds         writes the chart's version into the CRDs, and the list of their fields beside them
//	crds check   fails for a field of an earlier version that is gone or has another type, unless
//	             CHANGELOG.md names it
//
// It is run in the root of the repository. The list of a version, config/crd/fields/<version>.txt, is
// written as long as the chart has that version, and stays when it gets the next one.
package main
