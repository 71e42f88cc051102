// SPDX-License-Identifier: Apache-2.0

// Package shifted has a clock for tests that need the time to pass, and to jump ahead by days. It
// owns nothing else.
package shifted
