// SPDX-License-Identifier: Apache-2.0

// Command caller is a workload that uses a generated Secret as the Coder CLI does: it reads the
// config directory, or the environment, again for every call, and calls the server. It prints the
// result as JSON. Of credentials it prints only the public half of the token and the serial number
// of the certificate. What the calls prove is checked by test/e2e.
package main
