// SPDX-License-Identifier: Apache-2.0

// Package lookup finds objects in the caches of the manager: it owns the indexes, and with them the
// answer to "which sessions does this concern?". It makes no request to the API server.
package lookup
