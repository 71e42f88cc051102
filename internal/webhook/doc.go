// SPDX-License-Identifier: Apache-2.0

// Package webhook mounts the Secret of a session into pods that ask for it, when they are created.
//
//	request ──decode──► pod ──► what it asks for ──look up──► session, deployment ──Inject──► changed pod, warnings ──► patch
//	                                                          cache, then API server    pure
//
// What it makes of a pod is what a person would write by hand: one volume, and in each container a mount and the
// environment variables by which the Coder CLI finds its settings there. What a pod says itself always stays; where the two
// do not go together, the pod's creator is warned.
//
// The package owns that decision ([Inject]) and the handler around it. It never reads a Secret: which keys the generated one
// will have follows from the session and its deployment, and the pod waits for it if it is not there yet. It does not own the
// certificate that the endpoint is served with (internal/webhook/serving), nor the Secret's layout (internal/secret).
package webhook
