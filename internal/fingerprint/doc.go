// SPDX-License-Identifier: Apache-2.0

// Package fingerprint detects changes of confidential values without revealing anything about them.
//
// It provides the key ([Key], stored in a Secret of the operator, [LoadOrCreate]) and the keyed
// digest of a list of named fields ([Digest]). Without the key, the value behind the digest of a
// short token or a guessable header could be found by trial. With it, a fingerprint can be shown in
// a status that many people can read.
//
// Callers decide which fields a fingerprint has.
package fingerprint
