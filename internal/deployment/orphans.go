// SPDX-License-Identifier: Apache-2.0

package deployment

import "time"

// IsOrphan reports whether a token that belongs to no session is old enough to be revoked (B45).
// All times are by the server's clock. A token whose creation time is unknown or in the future is
// left alone.
func IsOrphan(createdAt, now time.Time, grace time.Duration) bool {
	return !createdAt.IsZero() && now.Sub(createdAt) >= grace
}
