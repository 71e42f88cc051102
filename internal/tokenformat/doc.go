// SPDX-License-Identifier: Apache-2.0

// Package tokenformat knows the format of Coder tokens (contract A.4), and the cookie that may hold
// one. It says what is wrong with a value that a person has put where a token belongs, before anything
// is sent to a server.
//
// It does not know whether a server accepts a token, and it never shows a part of a value.
package tokenformat
