// SPDX-License-Identifier: Apache-2.0

package isolate

// NodeAddress is the address of the node's interface, inside.
const NodeAddress = "10.99.0.1"
