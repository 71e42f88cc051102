// SPDX-License-Identifier: Apache-2.0

// Package coderd is a simulated Coder server: users, API keys, sessions, rate limits and faults,
// over real HTTP and TLS.
//
// It owns the server's side of the contract in docs/contributing/coder-api.md (sections A, B, C,
// D.1, G and H) for the profiles R30, MID and NEW, the network edge in front of it (client
// certificates, required headers), fault injection, and a request log. Section numbers in comments
// are the contract's. Behaviour that the contract leaves open and that had to be decided here is
// marked "chosen".
//
// It imports no package of the operator, so that both sides are written against the contract and
// not against each other. It keeps everything in memory. Secrets are not stored, only their SHA-256
// hashes.
//
// A Server is an http.Handler; Server.Start puts it on a loopback port, with TLS and an edge if
// asked to:
//
//	srv := coderd.New(coderd.Options{Profile: coderd.ProfileNew, Clock: clk})
//	ln, err := srv.Start(coderd.ListenOptions{})
//	owner, err := srv.CreateUser(coderd.UserOptions{
//		Username: "operator", Roles: []string{coderd.RoleOwner},
//	})
//	token, key, err := srv.CreateToken(coderd.TokenOptions{User: owner.ID, Lifetime: 24 * time.Hour})
//
// The OAuth2 provider is off until SetOAuth2Provider; its metadata shows Options.AccessURL, so
// clients that follow it need that to be the listener's URL. A person approves at GET
// /oauth2/authorize, after choosing a user at GET /login. A test calls ApproveOAuth, or posts to
// the same URL with a session token in a header.
//
// A request passes these stages, each in a file of its own:
//
//	faults -> edge -> route -> rate limit -> CSRF -> authentication -> handler
//	       -> (faults again) -> answer
//
// Everything exported is safe for concurrent use.
package coderd
