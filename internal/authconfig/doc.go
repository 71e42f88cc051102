// SPDX-License-Identifier: Apache-2.0

// Package authconfig turns a CoderDeployment and everything that it refers to into one immutable [Snapshot]: how its server
// is reached and how a request to it is authenticated.
//
// It owns the reading of the referenced Secrets and ConfigMaps ([Resolver.Resolve]), the checks on their contents
// ([ReferenceError] says what a person must mend), the fingerprint by which two snapshots are told apart, and the question
// whether a snapshot is still the newest ([Resolver.Current]).
//
// It sends nothing, keeps nothing between two calls and judges no time: an expired certificate is resolved like any other,
// and what it is good for is for the server to say. The client of an OAuth flow is not part of a snapshot, since it
// authenticates no request of the operator's own; [References] lists its Secret all the same, because a watch needs it.
package authconfig
