// SPDX-License-Identifier: Apache-2.0

// Command coder-session-operator is the manager: it runs the controllers, the webhook and the OAuth
// callback. It owns flags, wiring and signals; what the parts do is in their packages.
package main
