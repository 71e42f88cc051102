// SPDX-License-Identifier: Apache-2.0

// Package browser_test takes a person's way through OAuth in a real browser: `kubectl coder login`,
// the sign-in and consent pages of a Coder server, and the operator's own page at the end, with
// everything that can go wrong on that way.
//
// It is a user of what is shipped and knows it from outside: the operator and kubectl-coder run as
// the programs that `go build` makes, against a real kube-apiserver (test/kube), with the roles of
// config/default and no others. Chromium is Debian's. Only Coder is simulated (test/coderd).
//
//	test ── starts ──► kubectl-coder ── prints a URL ──► Chromium ──► sign in ──► consent ──┐
//	  ▲                     ▲                                                               ▼
//	  └──── exit code ──────┘◄──────────── the session is ready ◄──────── operator ◄──── callback page
//
// It owns that way and what only a browser can tell of a page: that no script runs, nothing is
// asked of anybody else, the policy holds, nothing has to be scrolled sideways on a small screen,
// light and dark are both there. Each page that a test meets is judged so, and photographed into
// the folder of BROWSER_ARTIFACTS, by default bin/browser, beside the logs.
//
// It does not own the wording of the pages (internal/callback), the protocol (internal/oauth) or
// what else a session does (test/operator).
//
// The module is one of its own so that the browser's driver stays out of the operator's go.mod:
// `make browser-test` runs it. Without a Chromium the tests are skipped; with CI=true or
// BROWSER_REQUIRED=1 they fail then.
package browser_test
