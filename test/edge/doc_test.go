// SPDX-License-Identifier: Apache-2.0

// Package edge_test puts a real nginx between the operator and the simulated Coder server, and looks
// at what the operator makes of everything that nginx answers by itself: reason, message, the entry
// in the page of troubleshooting, and that nothing happens to a token (contract J, B122).
//
// The configuration of nginx is the sample of docs/guides/edges.md, with other addresses and
// folders. Each case changes it, waits for the reason, changes it back and waits for the recovery.
// Each case has a namespace, a Coder server and an nginx of its own. One operator works for all.
//
// Where nginx is missing the tests are skipped; with NGINX_REQUIRED=1 they fail then.
package edge_test
