// SPDX-License-Identifier: Apache-2.0

// Command kubectl-coder is a kubectl plugin: kubectl coder, for people who work with CoderSessions.
// It owns nothing but its start and its end; all commands are in internal/cli.
package main
