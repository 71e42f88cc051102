// SPDX-License-Identifier: Apache-2.0

// Command coderd-sim runs the simulated Coder server (package coderd) on a loopback port, with its
// administration on a second one. It owns flags, files and signals; all behaviour is in the
// package.
package main
