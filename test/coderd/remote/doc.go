// SPDX-License-Identifier: Apache-2.0

// Package remote speaks to the administration port of a simulated Coder server (test/coderd) that
// runs as a process of its own, or in a pod. It owns requests and answers;
// coderd.Server.AdminHandler documents what they mean.
package remote
