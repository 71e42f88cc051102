// SPDX-License-Identifier: Apache-2.0

// Package retention holds the retention decisions that the deployment controller makes and the
// session controller carries out. It decides nothing itself (internal/deployment does).
package retention
