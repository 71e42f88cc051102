// SPDX-License-Identifier: Apache-2.0

// Package authcheck describes what the server said about a caller's credential. The connection
// makes these results, the pure packages decide by them, and conditions show them. The package also
// owns the backoff after checks without an answer. It does not translate errors;
// internal/connection does.
package authcheck
