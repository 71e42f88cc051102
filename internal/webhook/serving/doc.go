// SPDX-License-Identifier: Apache-2.0

// Package serving owns the certificate with which the operator serves its webhook, where nobody else provides one: it is
// made, renewed, told to the API server and put to use here, without a mounted file, a restart or a gap.
//
//	          every replica                                           every replica
//	Secret ◄── Rotator ──► caBundle of the                 Secret ──watch──► Certificates ──► TLS handshakes
//	        compare-and-swap   MutatingWebhookConfiguration
//
// Each certificate has an authority of its own, whose key signs it and is then thrown away, so that nobody can ever sign
// another one. A renewal has two steps, so that at no moment a replica shows a certificate that the API server does not yet
// trust:
//
//	current ──renewal due──► current + next ──the bundle trusts both, and all API servers have seen it──► next is current
//
// The authority of a replaced certificate stays in the bundle until it ends: a replica may show it for a moment longer. All
// state is in one Secret (see [Options.Name]) that only these rules write, each time on the condition that it is still what
// was read: of several replicas one takes each step, and a crash at any point is followed by the same step again. Somebody
// who deletes the Secret, or empties the bundle, has it made anew at once.
//
// The open-policy-agent's cert-controller was looked at and not taken: it replaces authority and certificate in one step, it
// caches all Secrets of its namespace and watches all webhook configurations, which no role can narrow down to one name, and
// it waits for the kubelet to mount what it wrote.
//
// The package does not own the endpoint (internal/webhook) or the configuration that leads to it, of which it writes nothing but
// caBundle.
package serving
