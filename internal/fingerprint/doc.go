// SPDX-License-Identifier: Apache-2.0

// Package fingerprint tells whether something confidential has changed without telling anything about it.
//
// It owns the key ([Key], kept in a Secret of the operator's own, [LoadOrCreate]) and the keyed digest over a list of
// named fields ([Digest]). Without the key a digest of a short token or of a guessable header could be searched for; with
// it, a fingerprint may stand in a status that many people read.
//
// It does not decide what belongs into a fingerprint: whoever owns the thing names its fields.
package fingerprint
