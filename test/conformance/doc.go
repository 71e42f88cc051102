// SPDX-License-Identifier: Apache-2.0

// Package conformance asks a Coder server what the operator relies on, and compares the answers with
// those of real servers.
//
// It owns the questions (testdata/questions.jsonl), what real servers of each profile answered
// (testdata/answers), and the requests that prepare a question and remove what was made for it. It
// does not own the contract, docs/contributing/coder-api.md: testdata/statements.jsonl says which of
// its statements is shown by which questions.
//
// Answers are compared by their shape: status, some headers, the names and types of fields, error
// codes, and short fragments of texts that clients match on (compare.go). Tokens are never printed.
//
// It imports neither the operator nor the simulated server, so that it can judge both. Its tests ask
// the simulated server (package coderd) in every profile.
package conformance
