// SPDX-License-Identifier: Apache-2.0

package deployment

import "time"

// IsOrphan reports whether a token that nobody claims is old enough to be revoked
// (B45). All times are the server's. One whose creation is not known is left
// alone, and so is one from the future.
func IsOrphan(createdAt, now time.Time, grace time.Duration) bool {
	return !createdAt.IsZero() && now.Sub(createdAt) >= grace
}
