// SPDX-License-Identifier: Apache-2.0

// Package hostile is a server that means harm, in place of a Coder server.
//
// [Start] runs one with a [Behaviour] that answers every request: bombs (small answers that are large
// once they are read), drips (answers that do not end), echoes (answers with the request's headers),
// lies (answers that cannot be true) and floods (more headers or events than anything can want). It
// knows the paths of the Coder API, so that a bomb has the shape that a client reads.
//
// It keeps no state and is no simulation of Coder: that is test/coderd.
package hostile
