// SPDX-License-Identifier: Apache-2.0

// Package authconfig turns a CoderDeployment and everything that it refers to into one immutable
// [Snapshot]: how to reach its server and how to authenticate requests to it.
//
// It reads the referenced Secrets and ConfigMaps ([Resolver.Resolve]), checks their contents
// ([ReferenceError] says what to fix), computes the fingerprint that distinguishes two snapshots,
// and checks whether a snapshot is current ([Resolver.Current]).
//
// It sends no requests, has no state and compares no times: an expired certificate is resolved like
// any other, and the server decides whether it is valid. The client of an OAuth flow is not used
// for the operator's own requests, but [References] includes its Secret, because it has to be
// watched.
package authconfig
