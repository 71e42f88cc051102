// SPDX-License-Identifier: Apache-2.0

// Package metricsauth protects the metrics endpoint: only those read it whom the API server knows and allows to.
//
// A request has a bearer token. A TokenReview tells whose token it is, and a SubjectAccessReview whether this user
// may use the verb on the path, such as get on /metrics. Answers are remembered for a while, a limited number of
// them, and tokens only as hashes.
//
//	no token, a malformed or a refused one      401
//	the user may not                            403
//	the API server does not answer              500
//
// The rules are those of WithAuthenticationAndAuthorization of controller-runtime. That one links the library of
// the API server, which takes 10 MiB of the memory of a process that does nothing yet. There are three
// differences: a refused token is answered with 401 instead of 500, a review that fails is not sent again before
// the next request, and WebSocket's way to send a token is not accepted.
//
// The package neither serves the endpoint nor registers metrics.
package metricsauth
