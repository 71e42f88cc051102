// SPDX-License-Identifier: Apache-2.0

// Command policies writes the admission policies of config/policies from the templates beside it.
//
// A policy has to ask the authorizer once for each object that a spec names, and one expression of a
// policy has time (CEL cost) for two such questions only. So each entry of a list has an expression of
// its own, and these are what is generated. What the policies refuse is tested in test/policies.
package main
