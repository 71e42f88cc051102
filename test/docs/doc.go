// SPDX-License-Identifier: Apache-2.0

// Package docs tests the pages of the repository: that what they say about the code, and what the
// code says about them, is there, and that the words are plain.
//
// It owns no text and no code of the operator. Everything is read from files; nothing is started
// and no network is used, so that the tests run anywhere in seconds.
package docs
