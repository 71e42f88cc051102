// SPDX-License-Identifier: Apache-2.0

// Package webhook mounts the Secret of a session into pods that ask for it, when they are created.
//
//	request ──decode──► pod ──► what it asks for ──look up──► session, deployment
//	                                                          (cache, then API server)
//	    patch ◄── changed pod, warnings ◄──Inject (pure)──────────────┘
//
// The result is what a person would write by hand: one volume, and in each container a mount and
// the environment variables by which the Coder CLI finds its settings there. The pod's own settings
// are never changed; where they conflict, the pod's creator gets a warning.
//
// The package owns that decision ([Inject]) and the handler around it. It never reads a Secret: the
// keys of the generated one follow from the session and its deployment, and the pod waits for a
// Secret that does not exist yet. It does not own the certificate that the endpoint is served with
// (internal/webhook/serving), nor the Secret's layout (internal/secret).
package webhook
